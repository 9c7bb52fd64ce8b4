//! Why a fleet can't be told.

use std::{io, path::PathBuf};

use miette::Diagnostic;

use crate::failure::FailureClass;

/// Why a fleet can't be told.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum FleetError {
    /// A folder or file.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help("check that it is there and that you may read it"))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No report.
    #[error("there is no report in {}", .0.display())]
    #[diagnostic(help(
        "devices send them with `outcrop-updater report --to`; a server keeps each in a file that ends with .report"
    ))]
    Empty(PathBuf),
    /// A line of the list of devices that is none.
    #[error("line {line} of {}: {text:?} is no device", path.display())]
    #[diagnostic(help(
        "a line is a device's name, 32 hexadecimal digits, and what you call it; # begins a remark"
    ))]
    Devices {
        /// The list.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// The line.
        text: String,
    },
}

impl FleetError {
    /// What the user can do about it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Io { source, .. } => FailureClass::of_io(source),
            Self::Empty(_) | Self::Devices { .. } => FailureClass::Input,
        }
    }
}
