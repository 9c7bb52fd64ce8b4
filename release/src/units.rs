//! Lengths and places on a disk.

/// 1 MiB: what partitions are aligned to.
pub const MIB: u64 = 1 << 20;
/// Length of a sector, in bytes: what partition table and FAT count in.
pub const SECTOR: u64 = 512;

/// A contiguous part of an image, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
