//! Why packages could not be resolved.

use std::{fmt, io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::arch::Architecture;

use crate::{failure::FailureClass, progress::Cancelled};

/// Resolution failed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AptError {
    /// There is no apt.
    #[error("run apt-get, which resolves packages: the program is not installed")]
    #[diagnostic(help(
        "install the package `apt` (Debian, Ubuntu, Fedora and Arch have it); only locking needs it, building from a lock does not"
    ))]
    NoApt,
    /// A file or folder of the private root.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help(
        "apt's lists are kept in the cache: it needs a folder that you may write to, with space left; --cache-dir names another"
    ))]
    File {
        /// What was being done: `write`, `read`, ...
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// apt could not be started or waited for.
    #[error("run apt-get")]
    #[diagnostic(help("is apt-get on this machine a program that you may start? try `apt-get --version`"))]
    Run(#[source] io::Error),
    /// apt could not write to its private root.
    #[error("keep the archive's lists in {}: {complaint}", folder.display())]
    #[diagnostic(help(
        "the lists need some hundred megabytes in a folder that you may write to: free space there (`outcrop cache --prune`),          or name another cache with --cache-dir"
    ))]
    Folder {
        /// The private root.
        folder: PathBuf,
        /// What apt says.
        complaint: String,
    },
    /// A list is not signed by a key that is trusted, or the key has expired.
    #[error("check the archive's signatures: {0}")]
    #[diagnostic(help(
        "the mirror serves lists that Debian's archive keys have not signed, or the keys have expired: try another mirror (--mirror), or a newer outcrop, which carries newer keys"
    ))]
    Signature(String),
    /// A list is older than it says it may become.
    #[error("check the archive's age: {0}")]
    #[diagnostic(help(
        "the mirror is not updated any more, or this machine's clock is wrong: try another mirror (--mirror)"
    ))]
    Stale(String),
    /// The lists could not be fetched.
    #[error("fetch the archive's lists: {0}")]
    #[diagnostic(help("is the mirror right, and reachable? --mirror and OUTCROP_MIRROR name another one"))]
    Update(String),
    /// The recipe names packages that the suite does not have.
    #[error("{}", list(.0))]
    #[diagnostic(help(
        "correct the names in the recipe, or add the component that has them to `base.components`"
    ))]
    Unknown(Vec<UnknownPackage>),
    /// The packages can't be installed together.
    #[error("the recipe's packages can't be installed together on {arch}:\n{reason}")]
    #[diagnostic(help("take one of the packages out of the recipe"))]
    Conflict {
        /// For which architecture.
        arch: Architecture,
        /// What apt says, a package a line.
        reason: String,
    },
    /// apt failed in another way.
    #[error("resolve packages: {0}")]
    #[diagnostic(help(
        "apt-get says this of lists that it has read and trusts: try another mirror (--mirror), or once more when the archive has settled"
    ))]
    Apt(String),
    /// apt or the archive said something that this program does not understand.
    #[error("understand {what}: {text:?}")]
    #[diagnostic(help(
        "this outcrop doesn't know such an answer: try another mirror (--mirror), or a newer outcrop for a newer apt"
    ))]
    Odd {
        /// Which text.
        what: &'static str,
        /// The odd part.
        text: String,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl AptError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NoApt | Self::Run(_) | Self::Folder { .. } => FailureClass::Environment,
            Self::Cancelled(_) => FailureClass::Interrupted,
            Self::File { source, .. } => FailureClass::of_io(source),
            Self::Signature(_) | Self::Stale(_) | Self::Update(_) => FailureClass::Network,
            Self::Unknown(_) | Self::Conflict { .. } => FailureClass::Input,
            Self::Apt(_) | Self::Odd { .. } => FailureClass::Other,
        }
    }
}

/// A name that is no package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPackage {
    /// The name.
    pub name: String,
    /// For which architecture.
    pub arch: Architecture,
    /// The package whose name is nearest.
    pub nearest: Option<String>,
    /// When the name is virtual, the packages that provide it (some of them).
    pub providers: Vec<String>,
}

impl fmt::Display for UnknownPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, arch, .. } = self;
        match (self.providers.as_slice(), &self.nearest) {
            ([], None) => write!(f, "there is no package {name} for {arch}"),
            ([], Some(nearest)) => write!(f, "there is no package {name} for {arch}; is it {nearest}?"),
            (providers, _) => write!(
                f,
                "{name} is a virtual package: name one of {}",
                providers.join(", ")
            ),
        }
    }
}

fn list(unknown: &[UnknownPackage]) -> String {
    unknown
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
