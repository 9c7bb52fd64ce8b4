//! What can go wrong while a disk image is made.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::{fat::FatError, verity::TreeError};

use super::units::Mib;
use crate::failure::FailureClass;

/// A disk image can't be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DiskError {
    /// A size in the recipe that no layout can have.
    #[error("disk.{key} is {bytes} bytes, it must be a multiple of 1 MiB from {least} to {most}")]
    #[diagnostic(help("give disk.{key} as a text like \"{least}\""))]
    Size {
        /// The recipe's key.
        key: &'static str,
        /// What it says, in bytes.
        bytes: u64,
        /// Least allowed.
        least: Mib,
        /// Most allowed.
        most: Mib,
    },
    /// A release that fills its slot too far: the next one might not fit.
    #[error("the {what} has {bytes} bytes: more than {percent} % of disk.{key} ({slot})")]
    #[diagnostic(help(
        "raise disk.{key} to at least {enough}, or remove packages (`outcrop inspect` lists the largest); devices in the field keep the slot size they were flashed with"
    ))]
    Headroom {
        /// Root file system or boot payload.
        what: &'static str,
        /// The recipe's key for the slot.
        key: &'static str,
        /// What it needs, in bytes.
        bytes: u64,
        /// The slot.
        slot: Mib,
        /// How full a slot may be.
        percent: u64,
        /// The least slot that would do.
        enough: Mib,
    },
    /// A boot loader that no file in partition 1 can hold.
    #[error("the boot loader has {0} bytes")]
    Loader(u64),
    /// The files don't fit into partition 1.
    #[error("lay out partition 1")]
    Fat {
        /// The cause.
        source: FatError,
    },
    /// The root file system isn't as long as it said.
    #[error("the root file system has {found} bytes, {expected} were planned")]
    RootLength {
        /// Planned length, in bytes.
        expected: u64,
        /// Written length.
        found: u64,
    },
    /// The verity tree can't be made.
    #[error("hash the root file system")]
    Verity(#[from] TreeError),
    /// A tool is missing.
    #[error("{tool} isn't installed: it makes the data partition's file system")]
    #[diagnostic(help("install {package}: apt-get install {package}"))]
    MissingTool {
        /// The program.
        tool: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A tool failed.
    #[error("{tool} failed: {message}")]
    #[diagnostic(help(
        "{tool} writes a temporary file in the output folder: is there space left, and is {tool} e2fsprogs' own?"
    ))]
    Tool {
        /// The program.
        tool: &'static str,
        /// What it printed.
        message: String,
    },
    /// Reading or writing failed.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help("choose a folder that you may write to, with space left: --output"))]
    Io {
        /// A verb: `write`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A hashing thread died, which is a defect of the builder.
    #[error("a thread that hashes the image ended early")]
    Thread,
}

impl DiskError {
    /// What the user can do about it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Size { .. } | Self::Headroom { .. } => FailureClass::Input,
            Self::MissingTool { .. } | Self::Tool { .. } => FailureClass::Environment,
            Self::Io { source, .. } => FailureClass::of_io(source),
            Self::Loader(_) | Self::Fat { .. } => FailureClass::Package,
            Self::RootLength { .. } | Self::Verity(_) | Self::Thread => FailureClass::Other,
        }
    }
}
