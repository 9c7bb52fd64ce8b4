//! Why there is no lock.

use std::{fmt, fmt::Write as _, io, path::PathBuf};

use miette::Diagnostic;

use super::{apt::AptError, gate::Unreviewed};
use crate::{deb::DebError, failure::FailureClass, fetch::FetchError, recipe::RecipeError};

/// Locking failed. Nothing was written.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum LockError {
    /// The recipe asks for what does not exist.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recipe(#[from] RecipeError),
    /// Resolving.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Apt(#[from] AptError),
    /// Nobody says where the archive is.
    #[error("find a Debian mirror: this machine's apt sources name none")]
    #[diagnostic(help("name one: --mirror http://HOST/debian, or the variable OUTCROP_MIRROR"))]
    NoMirror,
    /// Fetching packages.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    /// A package can't be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Package(#[from] DebError),
    /// A package is not the one that the archive's list says.
    #[error("read {path}: the archive's list calls it {expected}, and it says it is {found}")]
    #[diagnostic(help("the archive is inconsistent: try another mirror (--mirror)"))]
    Mismatch {
        /// The file in the archive.
        path: String,
        /// Name, version and architecture by the list.
        expected: String,
        /// The same by the package.
        found: String,
    },
    /// Scripts that nobody vouches for.
    #[error("{}", .0)]
    #[diagnostic(help("{}", .0.help()))]
    Scripts(UnreviewedScripts),
    /// The lock file can't be written.
    #[error("write {}", path.display())]
    #[diagnostic(help(
        "the lock lies beside its recipe: that folder must be one that you may write to, with space left"
    ))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A number in the lock is too large for TOML.
    #[error("write the lock as TOML")]
    Text(#[source] toml::ser::Error),
}

impl LockError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Recipe(error) => error.class(),
            Self::Apt(error) => error.class(),
            Self::NoMirror => FailureClass::Input,
            Self::Fetch(error) => error.class(),
            Self::Package(error) => error.class(),
            Self::Mismatch { .. } => FailureClass::Network,
            Self::Scripts(_) => FailureClass::Package,
            Self::Write { source, .. } => FailureClass::of_io(source),
            Self::Text(_) => FailureClass::Other,
        }
    }
}

/// All scripts of a recipe that nobody vouches for, each once.
#[derive(Debug)]
pub struct UnreviewedScripts(pub Vec<Unreviewed>);

/// Lines shown of one script, at most.
const SHOWN: usize = 120;

impl fmt::Display for UnreviewedScripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let scripts = if count == 1 { "script has" } else { "scripts have" };
        write!(f, "{count} maintainer {scripts} lines that nobody handles")?;
        self.0.iter().try_for_each(|script| show(script, f))
    }
}

fn show(script: &Unreviewed, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "\n\n{}/{}", script.package, script.member)?;
    if let Some(why) = &script.unreadable {
        write!(f, " (can't be followed: {why})")?;
    }
    f.write_char(':')?;
    let lines = &script.residue.lines;
    for (number, line) in lines.iter().take(SHOWN) {
        write!(f, "\n{number:>5}  {line}")?;
    }
    match lines.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => write!(f, "\n       ... and {more} lines more"),
        _ => Ok(()),
    }
}

impl UnreviewedScripts {
    fn help(&self) -> String {
        let names: Vec<_> = self
            .0
            .iter()
            .map(|script| format!("\"{}/{}\"", script.package, script.member))
            .collect();
        format!(
            "no script runs when an image is built, and nothing stands for these lines. Read them: if the image can do \
             without, or the recipe does the same with [[files]], say so in the recipe:\n\n[packages]\naccept-scripts = \
             [{}]\n\nelse leave the package out, and ask for a review of the script",
            names.join(", ")
        )
    }
}
