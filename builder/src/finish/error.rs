//! Why a root file system can't be finished.

use std::{io, path::PathBuf};

use miette::Diagnostic;

use crate::{
    failure::FailureClass,
    tree::{PathError, TreeError, TreePath},
};

/// Why [`super::finish`] failed. The message says what was being done; `help` says what to change.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum FinishError {
    /// A script, unit or recipe names a path that isn't absolute.
    #[error("{0:?} is no absolute path")]
    NotAbsolute(String),
    /// A path that can't be in an image.
    #[error("use a path that no image can have")]
    Path(#[source] PathError),
    /// An entry can't be put into the tree.
    #[error("change the file tree")]
    Tree(#[source] TreeError),
    /// The content of a file of the tree can't be read.
    #[error("read {path} from the tree store")]
    #[diagnostic(help(
        "the store may be damaged: `outcrop cache --verify` finds that out and removes it, and the next build makes it again"
    ))]
    Read {
        /// The file in the tree.
        path: TreePath,
        /// What failed.
        source: io::Error,
    },
    /// A configuration file isn't text.
    #[error("{0} isn't UTF-8 text")]
    NotText(TreePath),
    /// A file of an overlay or of `[[files]]` can't be read.
    #[error("read {}", path.display())]
    ReadHost {
        /// The file or folder on the build machine.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// A file name of an overlay isn't UTF-8.
    #[error("overlay file {} has a name that isn't UTF-8", .0.display())]
    HostName(PathBuf),
    /// An overlay holds a device node, a socket or a pipe.
    #[error("overlay file {} is neither file, folder nor link", .0.display())]
    SpecialFile(PathBuf),
    /// A layer and the tree disagree about what is a folder.
    #[error("lay {origin} over the image")]
    #[diagnostic(help("a file can't replace a folder of a package, nor the reverse: choose another path"))]
    Layer {
        /// Which overlay or section.
        origin: String,
        /// Which path.
        source: TreeError,
    },
    /// A file that a step builds upon isn't there.
    #[error("{path} is missing: the image has no {package}")]
    #[diagnostic(help("add {package} to [packages] install"))]
    Missing {
        /// The file.
        path: TreePath,
        /// Who ships it.
        package: &'static str,
    },
    /// Users, groups and their numbers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Accounts(#[from] AccountError),
    /// What a reviewed maintainer script asks for can't be done.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Action(#[from] ActionError),
    /// Certificates of authorities.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Certificate(#[from] CertificateError),
    /// PAM profiles.
    #[error("{path} is no PAM profile: {reason}")]
    Pam {
        /// The profile.
        path: TreePath,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A tmpfiles.d line for the read-only root.
    #[error("{path}: can't carry out the line {line:?}: {reason}")]
    #[diagnostic(help(
        "an overlay with a file of the same name in etc/tmpfiles.d replaces it; make the path with [[files]] or an overlay"
    ))]
    Tmpfiles {
        /// The file with the line.
        path: TreePath,
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// systemd units.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unit(#[from] UnitError),
    /// The kernel and its modules.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kernel(#[from] KernelError),
    /// A package's control paragraph can't be understood.
    #[error("package {package}: its control paragraph is malformed: {reason}")]
    Control {
        /// The package.
        package: String,
        /// What is wrong.
        reason: String,
    },
    /// Something in the finished tree would make the device unsafe or unbootable.
    #[error("the finished image is not acceptable: {0}")]
    Check(String),
    /// The same, where the recipe's own files are the likely cause.
    #[error("the finished image is not acceptable: {what}")]
    #[diagnostic(help("{help}"))]
    Layered {
        /// What is wrong.
        what: String,
        /// What to do.
        help: &'static str,
    },
}

/// What is wrong with accounts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum AccountError {
    /// base-passwd's files are not as expected.
    #[error("base-passwd: malformed line {0:?}")]
    Master(String),
    /// A sysusers.d line is not as sysusers.d(5) says, or depends on the running machine.
    #[error("sysusers.d: can't use line {0:?}")]
    #[diagnostic(help("an overlay with a file of the same name in etc/sysusers.d replaces it"))]
    Sysusers(String),
    /// Two names have one number.
    #[error("accounts {first} and {second} both have the number {id}")]
    #[diagnostic(help(
        "give one a fixed number: an overlay file etc/sysusers.d/00-numbers.conf with a line `u {first} NUMBER` \
         (`g` for a group); never change the number of an account that devices already have"
    ))]
    SameId {
        /// The newcomer.
        first: String,
        /// Who had it.
        second: String,
        /// The number.
        id: u32,
    },
    /// A group that nobody creates.
    #[error("there is no group {0}")]
    NoGroup(String),
    /// A recipe's user wants to be in a group that doesn't exist.
    #[error("user {name}: there is no group {group}")]
    #[diagnostic(help("{}", did_you_mean(nearest)))]
    UnknownGroup {
        /// The user.
        name: String,
        /// The group.
        group: String,
        /// Names that look alike.
        nearest: Vec<String>,
    },
    /// A recipe's user has a shell that isn't installed.
    #[error("user {name}: the shell {shell} isn't in the image")]
    #[diagnostic(help("add the package that ships it, or choose another shell"))]
    NoShell {
        /// The user.
        name: String,
        /// Its shell.
        shell: String,
    },
    /// A recipe gives a number to an account that packages bring.
    #[error("user {name} already exists, so it can't get the number {uid}")]
    #[diagnostic(help("leave out `uid` for this user"))]
    Exists {
        /// The user.
        name: String,
        /// What the recipe says.
        uid: u32,
    },
}

impl AccountError {
    /// [`AccountError::SameId`].
    #[must_use]
    pub fn same_id(first: &str, second: &str, id: u32) -> Self {
        Self::SameId {
            first: first.to_owned(),
            second: second.to_owned(),
            id,
        }
    }
}

/// Why an [`crate::action::Action`] can't be carried out.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ActionError {
    /// A path that the action needs isn't in the tree.
    #[error("package {package}: {path} doesn't exist, but its maintainer script changes it")]
    #[diagnostic(help("the reviewed rule no longer fits this version: run `outcrop lock`"))]
    NoPath {
        /// The package.
        package: String,
        /// The path.
        path: String,
    },
    /// No such user.
    #[error("package {package}: there is no user {name}")]
    NoUser {
        /// The package.
        package: String,
        /// The user.
        name: String,
    },
    /// No such group.
    #[error("package {package}: there is no group {name}")]
    NoGroup {
        /// The package.
        package: String,
        /// The group.
        name: String,
    },
    /// A mode that isn't octal.
    #[error("package {package}: {mode:?} is no octal mode")]
    Mode {
        /// The package.
        package: String,
        /// The text.
        mode: String,
    },
    /// A capability text that isn't understood.
    #[error("package {package}: {text:?} is no set of capabilities")]
    Capabilities {
        /// The package.
        package: String,
        /// The text.
        text: String,
    },
    /// Something that must be a file is something else.
    #[error("package {package}: {path} is no regular file")]
    NotFile {
        /// The package.
        package: String,
        /// The path.
        path: String,
    },
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum CertificateError {
    /// The file isn't PEM.
    #[error("{0} holds no PEM certificate")]
    Pem(TreePath),
    /// The DER inside isn't a certificate.
    #[error("{path} is no X.509 certificate: {reason}")]
    Der {
        /// The file.
        path: TreePath,
        /// What is wrong.
        reason: &'static str,
    },
}

/// What is wrong with units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum UnitError {
    /// The recipe names a unit that no package ships.
    #[error("[services] {list}: there is no unit {unit} in the image")]
    #[diagnostic(help("{}", did_you_mean(nearest)))]
    Unknown {
        /// `enable`, `disable` or `mask`.
        list: &'static str,
        /// The unit.
        unit: String,
        /// Names that look alike.
        nearest: Vec<String>,
    },
    /// The recipe enables a unit that can't be enabled.
    #[error("[services] enable: {unit} can't be enabled: {reason}")]
    NotEnableable {
        /// The unit.
        unit: String,
        /// Why.
        reason: &'static str,
    },
    /// A template without instance.
    #[error("[services] enable: {0} is a template")]
    #[diagnostic(help("name an instance: NAME@INSTANCE.service"))]
    Template(String),
}

/// What is wrong with the kernel.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum KernelError {
    /// No kernel package.
    #[error("the image has no kernel: nothing is in usr/lib/modules")]
    #[diagnostic(help("name a kernel package in [kernel.package] for this architecture"))]
    None,
    /// More than one.
    #[error("the image has {} kernels: {}", .0.len(), .0.join(", "))]
    #[diagnostic(help("keep one kernel package in the recipe"))]
    Several(Vec<String>),
    /// Modules without the kernel's image.
    #[error("the kernel {version} has modules but no image {path}")]
    NoImage {
        /// The version.
        version: String,
        /// Where the image should be.
        path: TreePath,
    },
    /// A module can't be unpacked.
    #[error("unpack the kernel module {path}")]
    Unpack {
        /// The module.
        path: TreePath,
        /// What failed.
        source: io::Error,
    },
    /// A module isn't an ELF file with module information.
    #[error("{path} is no kernel module: {reason}")]
    Module {
        /// The module.
        path: TreePath,
        /// What is wrong.
        reason: String,
    },
    /// A glob of `exclude-modules`.
    #[error("[kernel] exclude-modules or keep-modules: {glob:?} is no pattern")]
    Glob {
        /// The text.
        glob: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// A module that the initramfs should carry doesn't exist.
    #[error("[kernel] initramfs-modules: the kernel {version} has no module {name}")]
    #[diagnostic(help("{}", did_you_mean(nearest)))]
    NoModule {
        /// The kernel's version.
        version: String,
        /// The module.
        name: String,
        /// Names that look alike.
        nearest: Vec<String>,
    },
    /// Modules that need each other.
    #[error("the kernel modules {} need each other in a circle", .0.join(", "))]
    Cycle(Vec<String>),
    /// The store failed.
    #[error("keep the kernel's modules in the tree store")]
    Store(#[source] io::Error),
}

impl FinishError {
    /// By what the user can do.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Read { .. } | Self::ReadHost { .. } => FailureClass::Environment,
            Self::HostName(_)
            | Self::SpecialFile(_)
            | Self::Layer { .. }
            | Self::Unit(_)
            | Self::Missing { .. }
            | Self::Check(_)
            | Self::Layered { .. } => FailureClass::Input,
            Self::Accounts(AccountError::Master(_)) => FailureClass::Package,
            Self::Accounts(_) => FailureClass::Input,
            Self::Kernel(error) => error.class(),
            _ => FailureClass::Package,
        }
    }
}

impl KernelError {
    const fn class(&self) -> FailureClass {
        match self {
            Self::None | Self::Several(_) | Self::Glob { .. } | Self::NoModule { .. } => FailureClass::Input,
            Self::Store(_) => FailureClass::Environment,
            _ => FailureClass::Package,
        }
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() {
        "nothing has a name like it".to_owned()
    } else {
        format!("did you mean {}?", nearest.join(", "))
    }
}
