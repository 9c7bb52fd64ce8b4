//! Running an image in QEMU: the machine that `outcrop run` and the scenario tests start.

pub mod accel;
pub mod board_files;
pub mod firmware;
pub mod machine;
pub mod overlay;
pub mod watch;

use std::{io, path::PathBuf};

use crate::failure::FailureClass;

/// Why QEMU can't be started, or what it said.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RunError {
    /// QEMU, or one of its tools, isn't installed.
    #[error("start {program}")]
    #[diagnostic(help("install it: sudo apt-get install {package}"))]
    Start {
        /// The program.
        program: String,
        /// Debian's package that holds it.
        package: &'static str,
        /// Why it didn't start.
        source: io::Error,
    },
    /// No firmware for the architecture.
    #[error("no UEFI firmware for {architecture}: looked for {}", looked_for.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    #[diagnostic(help("install it: sudo apt-get install {package}"))]
    Firmware {
        /// Whose firmware.
        architecture: outcrop_release::arch::Architecture,
        /// The files that would do.
        looked_for: Vec<PathBuf>,
        /// Debian's package that holds one of them.
        package: &'static str,
    },
    /// No firmware with Secure Boot for that machine.
    #[error("QEMU has no machine with Secure Boot for this image")]
    #[diagnostic(help(
        "leave out --secure-boot: it is for images of board efi for x86_64, as Debian has no such firmware for others"
    ))]
    NoSecureBoot,
    /// A file of the run can't be made.
    #[error("prepare {}", path.display())]
    #[diagnostic(help(
        "the image must be a file that you may read, and the temporary folder ($TMPDIR) have space left"
    ))]
    Prepare {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU ended with a failure.
    #[error("QEMU ended with {status}")]
    Failed {
        /// Its exit status.
        status: std::process::ExitStatus,
    },
}

impl RunError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Start { .. } | Self::Firmware { .. } | Self::Prepare { .. } => FailureClass::Environment,
            Self::NoSecureBoot => FailureClass::Input,
            Self::Failed { .. } => FailureClass::Other,
        }
    }
}
