//! Why packages can't be fetched.

use std::{fmt, io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::digest::FileDigest;

use super::{net::TransportError, single::WebFile};
use crate::{failure::FailureClass, lock::format::LockedPackage, progress::Cancelled};

/// Why fetching ended.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum FetchError {
    /// `--offline`, and the cache lacks packages.
    #[error("{} {} not in the cache, and --offline forbids to fetch them:{}", .0.len(), noun(.0), list(.0))]
    #[diagnostic(help("run the same command once without --offline"))]
    Offline(Vec<Missing>),
    /// No mirror has them, and neither has snapshot.debian.org.
    #[error("no mirror has {} locked {} any more:{}", packages.len(), noun(packages), list(packages))]
    #[diagnostic(help(
        "the archive has dropped them for newer versions: `outcrop lock` takes those into the lock; \
         or give a mirror that keeps old versions with --mirror"
    ))]
    Gone {
        /// All of them.
        packages: Vec<Missing>,
        /// Why snapshot.debian.org couldn't be asked, if it couldn't.
        source: Option<SnapshotError>,
    },
    /// No mirror is known.
    #[error("fetch {package}: no mirror of the Debian archive is known")]
    #[diagnostic(help("give one with --mirror URL or OUTCROP_MIRROR: this machine's apt sources name none"))]
    NoMirror {
        /// The first package that the cache lacks.
        package: Missing,
    },
    /// The mirrors have it, or may have it, but it didn't come through.
    #[error("fetch {package} from {url}")]
    #[diagnostic(help("try again: what was downloaded is kept. --mirror URL takes another mirror"))]
    Transfer {
        /// Which package.
        package: Missing,
        /// The last address that was tried.
        url: String,
        /// Why the last try failed.
        source: Box<TransferError>,
    },
    /// `--offline`, and the cache lacks a file that the recipe takes from elsewhere.
    #[error("{} isn't in the cache, and --offline forbids to fetch it from {}", file.what, file.url)]
    #[diagnostic(help(
        "run the same command once without --offline; or copy the file to {} (its name there is its SHA-256)",
        place.display()
    ))]
    OfflineFile {
        /// Which.
        file: WebFile,
        /// Where it would be found.
        place: PathBuf,
    },
    /// A file that the recipe takes from elsewhere didn't come through.
    #[error("fetch {} from {}", file.what, file.url)]
    #[diagnostic(help(
        "try again: what was downloaded is kept. Where this machine can't reach that server, fetch the file elsewhere and copy it to {} \
         (its name there is its SHA-256), or name it in the recipe by `file` instead of `url`",
        place.display()
    ))]
    WebFile {
        /// Which.
        file: WebFile,
        /// Where it would be found.
        place: PathBuf,
        /// Why the last try failed.
        source: Box<TransferError>,
    },
    /// The cache can't be written.
    #[error("write to the package cache {}", folder.display())]
    #[diagnostic(help(
        "packages and store need some gigabytes in a folder that you may write to: free space there \
         (`outcrop cache --prune`), or name another cache with --cache-dir. What is there stays usable"
    ))]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user, or the receiver of the packages, asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// One package that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
}

impl Missing {
    /// Names `package`.
    #[must_use]
    pub fn of(package: &LockedPackage) -> Self {
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.architecture)
    }
}

/// The snapshot service gave no answer, so nobody knows whether it has the packages.
#[derive(Debug, thiserror::Error)]
#[error("ask {server} for them")]
pub struct SnapshotError {
    server: String,
    source: Option<Box<TransferError>>,
}

impl SnapshotError {
    /// It failed just now.
    pub(super) fn now(server: &str, source: TransferError) -> Self {
        Self {
            server: server.to_owned(),
            source: Some(Box::new(source)),
        }
    }

    pub(super) const fn has_cause(&self) -> bool {
        self.source.is_some()
    }

    /// It failed earlier, which is reported with the package that was asked for then.
    pub(super) fn before(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            source: None,
        }
    }
}

/// Why one address didn't give a package.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// No answer, or one that broke off.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// An answer that is no success.
    #[error("the server answers with status {0}")]
    Status(u16),
    /// The body ended early.
    #[error("the body ends after {got} of {expected} bytes")]
    Truncated {
        /// Bytes that are there.
        got: u64,
        /// Bytes that the lock says.
        expected: u64,
    },
    /// The body is longer than the lock says.
    #[error("the file is longer than the {expected} bytes that the lock says")]
    TooLong {
        /// Bytes that the lock says.
        expected: u64,
    },
    /// All bytes came, and they are others than the locked ones.
    #[error("its SHA-256 is {actual}, not {expected}: the mirror has another file under this name")]
    Content {
        /// What the lock says.
        expected: FileDigest,
        /// What came.
        actual: FileDigest,
    },
}

fn noun(missing: &[Missing]) -> &'static str {
    if missing.len() == 1 { "package" } else { "packages" }
}

fn list(missing: &[Missing]) -> String {
    missing.iter().map(|package| format!("\n  {package}")).collect()
}

impl FetchError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Offline(_)
            | Self::OfflineFile { .. }
            | Self::Gone { .. }
            | Self::Transfer { .. }
            | Self::WebFile { .. } => FailureClass::Network,
            Self::NoMirror { .. } => FailureClass::Input,
            Self::Cache { source, .. } => FailureClass::of_io(source),
            Self::Cancelled(_) => FailureClass::Interrupted,
        }
    }
}
