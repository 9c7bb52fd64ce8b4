//! Why a delta can't be made.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::{delta::DirectoryError, name::ReleaseName};

use crate::{erofs::ReadError, failure::FailureClass};

/// Why a delta can't be made or read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DeltaError {
    /// Two releases that no device has one after the other.
    #[error("make a delta from {from} to {to}: a device that runs the one never installs the other")]
    #[diagnostic(help("take two releases of one product, for one architecture and one board"))]
    Other {
        /// The older release.
        from: Box<ReleaseName>,
        /// The newer one.
        to: Box<ReleaseName>,
    },
    /// Both are the same release.
    #[error("make a delta from {0} to itself")]
    #[diagnostic(help("name the bundle of an older release with --from"))]
    Same(Box<ReleaseName>),
    /// The root file system can't be read.
    #[error("read the files of {of}")]
    #[diagnostic(help("build or fetch that bundle again"))]
    Files {
        /// Which release.
        of: Box<ReleaseName>,
        /// Why.
        source: ReadError,
    },
    /// The payloads can't be read while they are compared.
    #[error("compare the releases' payloads")]
    Payload {
        /// Why.
        source: io::Error,
    },
    /// The delta, or the bundle that gets it, can't be written.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help("check that you may write there, and that there is space left"))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bundle's own deltas.
    #[error("add the delta to {}", path.display())]
    #[diagnostic(help("write it beside the bundle with --beside"))]
    Directory {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: DirectoryError,
    },
    /// A bundle whose name isn't one.
    #[error("write a delta beside {}: the file isn't called *.outcrop", .0.display())]
    #[diagnostic(help("devices find a delta by the bundle's name: rename the bundle"))]
    Name(PathBuf),
    /// Nobody signs it.
    #[error("a delta must be signed, and no key was given")]
    #[diagnostic(help("devices take no delta that isn't signed as the release is: --key FILE"))]
    NoKey,
}

impl DeltaError {
    /// What the user can do about it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Payload { source } | Self::Io { source, .. } => FailureClass::of_io(source),
            _ => FailureClass::Input,
        }
    }
}
