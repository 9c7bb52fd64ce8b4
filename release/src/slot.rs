//! The two slots. There is no third.

use std::{fmt, str::FromStr};

/// One of the two places on the disk that hold a release. Text form: `a` or `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The first slot: a fresh image runs from it.
    A,
    /// The second slot: empty in a fresh image.
    B,
}

/// A text that names no slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown slot {0:?}: there are a and b")]
pub struct UnknownSlot(pub String);

impl Slot {
    /// Both, in the order of the partition table.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The slot that this one isn't.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The letter in partition labels and file names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// File name of the slot's boot payload in `EFI/Linux` of partition 1, which systemd-stub reports as
    /// `StubImageIdentifier`. Source: UAPI Boot Loader Specification, type #2 entries.
    #[must_use]
    pub const fn uki_file_name(self) -> &'static str {
        match self {
            Self::A => "outcrop-a.efi",
            Self::B => "outcrop-b.efi",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Slot {
    type Err = UnknownSlot;

    fn from_str(text: &str) -> Result<Self, UnknownSlot> {
        Self::ALL
            .into_iter()
            .find(|slot| slot.as_str() == text)
            .ok_or_else(|| UnknownSlot(text.to_owned()))
    }
}
