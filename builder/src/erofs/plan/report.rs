//! What a layout after an older image kept of it.

use serde::{Deserialize, Serialize};

/// A layout compared with that of the image before, and with a fresh one. Blocks have 4096 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutReport {
    /// Blocks of the image.
    pub blocks: u32,
    /// Blocks of the image before.
    pub previous_blocks: u32,
    /// Blocks that a fresh layout would have.
    pub fresh_blocks: u32,
    /// Blocks of files that are as they were, where they were.
    pub kept_blocks: u64,
    /// Blocks of files that are as they were, at another place.
    pub moved_blocks: u64,
    /// Blocks of files that are new or changed, and of folders.
    pub changed_blocks: u64,
    /// Inodes with the number that they had.
    pub kept_inodes: u64,
    /// All inodes.
    pub inodes: u64,
    /// Blocks that hold nothing.
    pub free_blocks: u32,
    /// In how many pieces they lie.
    pub free_pieces: u32,
    /// Blocks of the longest of these pieces.
    pub longest_free: u32,
    /// Whether the layout is a fresh one, because no other was within the bounds.
    pub fresh: bool,
}

impl LayoutReport {
    /// How much of an image may hold nothing, and how much longer than a fresh one it may be, in percent.
    pub const MOST_FREE_PERCENT: u32 = 5;
    /// Blocks that may hold nothing in images so small that the percentage is less.
    pub const MOST_FREE_SMALL: u32 = 16;

    /// How many blocks may hold nothing in an image of `blocks`, and how many more it may have than a fresh one of `blocks`.
    #[must_use]
    pub fn most_free(blocks: u32) -> u32 {
        let percent = u64::from(blocks) * u64::from(Self::MOST_FREE_PERCENT) / 100;
        u32::try_from(percent)
            .unwrap_or(u32::MAX)
            .max(Self::MOST_FREE_SMALL)
    }
}
