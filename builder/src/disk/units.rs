//! Lengths and places in an image.

use std::fmt;

/// 1 MiB: what partitions are aligned to.
pub const MIB: u64 = 1 << 20;
/// Length of a sector, in bytes: what partition table and FAT count in.
pub const SECTOR: u64 = 512;

/// A length in bytes that is shown in MiB, rounded up, as a recipe writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mib(pub u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}MiB", self.0.div_ceil(MIB))
    }
}

/// A contiguous part of an image, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

impl Extent {
    /// First byte behind it.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.start + self.len
    }
}
