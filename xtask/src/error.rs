//! What can go wrong in front of the programs, and how it is told.

use std::{error::Error as _, io, path::PathBuf, process::ExitCode};

/// Why a task ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program can't be started.
    #[error("start `{command}`")]
    Start { command: String, source: io::Error },
    /// A program ran and failed.
    #[error("`{command}` failed with {status}")]
    Failed {
        command: String,
        status: std::process::ExitStatus,
    },
    /// Packages are missing and may not be installed.
    #[error("system packages are missing. Install them with:\n\n    {0}\n")]
    Missing(String),
    /// A developer's tool is missing and may not be installed.
    #[error("{name} is missing. Install it with:\n\n    {command}\n")]
    MissingTool { name: &'static str, command: String },
    /// A file or folder of the project or of the build can't be used.
    #[error("{doing} {path}", path = path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The tests would fill the disk.
    #[error(
        "only {free} MiB are free in {folder}, and the tests need {needed} MiB. Make room there, or name another folder with \
         TMPDIR or CARGO_TARGET_DIR",
        folder = folder.display()
    )]
    Space { folder: PathBuf, free: u64, needed: u64 },
    /// A fuzz target found something.
    #[error("the fuzz target {name} failed; fuzz/README.md says how to run the input again\n{told}")]
    Fuzz { name: String, told: String },
    /// No compiler for the other architecture.
    #[error("no Rust standard library for {target}: {why}")]
    Toolchain { target: &'static str, why: String },
    /// Something doesn't look as it must.
    #[error("{0}")]
    Unexpected(String),
}

/// Prints the error with its causes; 1 is the exit code of every failure.
pub(crate) fn report(error: &Error) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        eprintln!("  caused by: {next}");
        cause = next.source();
    }
    ExitCode::FAILURE
}
