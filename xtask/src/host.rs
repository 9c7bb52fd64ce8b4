//! The machine this runs on.

use std::process::Command;

use crate::{error::Error, shell};

/// A processor architecture, as machine to build on or to build for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    #[value(name = "x86_64")]
    X86_64,
    Aarch64,
}

impl Arch {
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The architecture that this program was built for.
    pub(crate) const fn host() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else {
            Self::X86_64
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Rust's target.
    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// GNU's cross tools: prefix of `-gcc`.
    pub(crate) const fn gnu(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs with root's rights: as it is for root, through sudo for everybody else.
pub(crate) fn as_root(program: &str) -> Result<Command, Error> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if !shell::succeeds(Command::new("sudo").arg("--version")) {
        let why = format!("`{program}` needs root's rights, and there is no sudo: run the task as root");
        return Err(Error::Unexpected(why));
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}
