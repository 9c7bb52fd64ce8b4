//! Packages that can't be in one image.

use miette::Diagnostic;
use thiserror::Error;

use crate::{
    failure::FailureClass,
    tree::{PathError, TreeError, TreePath},
};

const TOGETHER: &str =
    "packages that ship the same path can't be installed together: leave one out of the recipe";

/// Packages contradict each other. Packages are named with their versions.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum ComposeError {
    /// Different files or links at one path.
    #[error("{path} is in both {first} and {second}, and differs")]
    #[diagnostic(help("{TOGETHER}"))]
    Conflict {
        /// Where.
        path: TreePath,
        /// One package.
        first: String,
        /// The other.
        second: String,
    },
    /// A file and a folder.
    #[error("{path} is a file in {file} and a folder in {folder}")]
    #[diagnostic(help("{TOGETHER}"))]
    FileAndFolder {
        /// Where.
        path: TreePath,
        /// The package with the file.
        file: String,
        /// The package with the folder, or with something in it.
        folder: String,
    },
    /// A link in one package would make what another ships land elsewhere.
    #[error("{path} is a link to {target} in {link} and a folder in {folder}")]
    #[diagnostic(help(
        "files of the second package would land where the link leads: leave one out of the recipe"
    ))]
    LinkAndFolder {
        /// Where.
        path: TreePath,
        /// Where the link leads.
        target: String,
        /// The package with the link.
        link: String,
        /// The package with the folder, or with something in it.
        folder: String,
    },
    /// `/bin`, `/lib` or the like as something else than a folder or the link into `/usr`.
    #[error("{package} ships {path} as something else than the link into /usr")]
    #[diagnostic(help("in an image /bin, /lib, /sbin and the like are links into /usr"))]
    Alias {
        /// The package.
        package: String,
        /// The alias.
        path: TreePath,
    },
    /// A relation in `Replaces`, or a version, that can't be read.
    #[error("{package} says `{text}`, which is no version or relation")]
    Relation {
        /// The package.
        package: String,
        /// The text.
        text: String,
    },
    /// A diversion's path is none.
    #[error("{package} diverts `{text}`")]
    DiversionPath {
        /// The diverting package.
        package: String,
        /// The path.
        text: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// Two packages divert one path.
    #[error("{path} is diverted by both {first} and {second}")]
    #[diagnostic(help("{TOGETHER}"))]
    DivertedTwice {
        /// Where.
        path: TreePath,
        /// One package.
        first: String,
        /// The other.
        second: String,
    },
    /// Something lies below what is no folder: only a diversion can cause it.
    #[error("compose the packages")]
    Tree {
        /// Where.
        source: TreeError,
    },
}

impl ComposeError {
    /// What the user can do about it.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        FailureClass::Package
    }
}
