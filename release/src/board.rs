//! Boards: what starts the device, and so how the disk is laid out.

use std::{fmt, str::FromStr};

/// The kind of machine that an image boots on. Text form: `efi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Board {
    /// Any machine with UEFI firmware.
    Efi,
}

/// A text that names no supported board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown board {0:?}: known is efi")]
pub struct UnknownBoard(pub String);

impl Board {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Efi];

    /// The name in recipes and file names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Efi => "efi",
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
