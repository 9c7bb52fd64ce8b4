//! Why a fleet can't be told.

use std::{
    io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;

use super::shown::shown;
use crate::failure::FailureClass;

/// Why a fleet can't be told.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum FleetError {
    /// A folder or file.
    #[error("{doing} {}", named(path))]
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
    #[error("there is no report in {}", named(.0))]
    #[diagnostic(help(
        "devices send them with `outcrop-updater report --to`; a server keeps each in a file that ends with .report"
    ))]
    Empty(PathBuf),
    /// A line of the list of devices that is none.
    #[error("line {line} of {}: {text:?} is no device", named(path))]
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
    /// What was remembered is damaged.
    #[error(
        "line {line} of {}: {text:?} is nothing that `outcrop fleet report` remembers",
        named(path)
    )]
    #[diagnostic(help(
        "bring the file back from a copy; without one, remove it: the next run begins a new one, and only what is older than its reports is told as played back"
    ))]
    Memory {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// How the line begins.
        text: String,
    },
}

/// A path for people: who puts files into a folder of reports writes their names.
fn named(path: &Path) -> String {
    shown(&path.display().to_string())
}

impl FleetError {
    /// What the user can do about it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Io { source, .. } => FailureClass::of_io(source),
            Self::Empty(_) | Self::Devices { .. } | Self::Memory { .. } => FailureClass::Input,
        }
    }
}
