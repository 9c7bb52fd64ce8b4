//! Boards: what starts the device, and so how the disk is laid out.

use std::{fmt, str::FromStr};

use crate::arch::Architecture;

/// The kind of machine that an image boots on. Text form: `efi` or `rpi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Board {
    /// Any machine with UEFI firmware.
    Efi,
    /// Raspberry Pi 3, 4, 400 and Compute Module 4, through U-Boot.
    Rpi,
}

/// A text that names no supported board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown board {0:?}: known are efi and rpi")]
pub struct UnknownBoard(pub String);

impl Board {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Efi, Self::Rpi];

    /// The name in recipes and file names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Efi => "efi",
            Self::Rpi => "rpi",
        }
    }

    /// Whether it can have that processor.
    #[must_use]
    pub const fn runs(self, architecture: Architecture) -> bool {
        match (self, architecture) {
            (Self::Efi, _) | (Self::Rpi, Architecture::Aarch64) => true,
            (Self::Rpi, Architecture::X86_64) => false,
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Board {
    type Err = UnknownBoard;

    fn from_str(text: &str) -> Result<Self, UnknownBoard> {
        Self::ALL
            .into_iter()
            .find(|board| board.as_str() == text)
            .ok_or_else(|| UnknownBoard(text.to_owned()))
    }
}
