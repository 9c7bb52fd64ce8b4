//! Why a scenario's machinery failed.

use std::{io, path::PathBuf, time::Duration};

/// What went wrong between the scenario and its machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU, its firmware or its files aren't there.
    #[error("set up the machine")]
    Setup(#[from] outcrop_builder::run::RunError),
    /// A socket or file of the machine can't be used.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The console didn't say what it should.
    #[error("waited {waited:?} for {wanted:?} on the console; it ends with:\n{tail}")]
    Silent {
        /// The text.
        wanted: String,
        /// How long.
        waited: Duration,
        /// The console's last lines.
        tail: String,
    },
    /// The emulated processor broke, not the guest: QEMU's fault, so neither pass nor retry.
    #[error("the guest died of a double fault in the emulator ({0:?}); use a newer QEMU")]
    Emulator(String),
    /// QEMU ended before the scenario did.
    #[error("QEMU ended while waiting for {wanted:?}; the console ends with:\n{tail}")]
    Ended {
        /// What was waited for.
        wanted: String,
        /// The console's last lines.
        tail: String,
    },
    /// The monitor didn't answer, or refused.
    #[error("QEMU's monitor: {0}")]
    Monitor(String),
    /// A command in the guest failed.
    #[error("`{command}` in the guest ended with {status}:\n{output}")]
    Command {
        /// As typed.
        command: String,
        /// Its exit status.
        status: i32,
        /// What it printed.
        output: String,
    },
    /// The machine came up, but not whole.
    #[error("{line}\n{console}")]
    Degraded {
        /// What the boot report said.
        line: String,
        /// Everything on the console.
        console: String,
    },
    /// An image can't be read.
    #[error("read the image")]
    Image(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The image to boot isn't there.
    #[error("no image {}: `cargo xtask test` builds the images and runs the scenarios", .0.display())]
    NoImage(PathBuf),
}

impl Error {
    pub(crate) fn image(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Image(source.into())
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
