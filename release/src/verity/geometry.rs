//! Where the blocks of a tree lie: arithmetic on block counts only.

/// Length of a data block and of a hash block, in bytes.
pub const BLOCK_BYTES: usize = 4096;
/// Length of one hash, in bytes.
pub const HASH_BYTES: usize = 32;
/// Hashes in one block of the tree.
pub const HASHES_PER_BLOCK: u64 = 128;
/// Where the top block of the tree begins in the verity partition, in bytes: right after the superblock's block.
pub const TOP_BLOCK_OFFSET: u64 = BLOCK_BYTES as u64;

/// Most data blocks of a tree: 64 TiB of data. Far above any device, far below where byte counts overflow.
const MAX_DATA_BLOCKS: u64 = 1 << 34;

/// A number of data blocks that no tree of ours is made for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a verity tree is over 2 to {MAX_DATA_BLOCKS} data blocks, not {0}")]
pub struct GeometryError(pub u64);

/// Shape of the tree over a given number of data blocks.
///
/// One single block has no tree in dm-verity (its hash is the root hash): such a file system doesn't exist here, so at
/// least two are asked for, and every tree has a top block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    data_blocks: u64,
}

impl Geometry {
    /// The shape over `data_blocks` blocks.
    ///
    /// # Errors
    /// When there are fewer than two blocks, or more than any disk has.
    pub const fn new(data_blocks: u64) -> Result<Self, GeometryError> {
        if 2 <= data_blocks && data_blocks <= MAX_DATA_BLOCKS {
            Ok(Self { data_blocks })
        } else {
            Err(GeometryError(data_blocks))
        }
    }

    /// Number of data blocks.
    #[must_use]
    pub const fn data_blocks(self) -> u64 {
        self.data_blocks
    }

    /// Length of the data, in bytes.
    #[must_use]
    pub const fn data_bytes(self) -> u64 {
        self.data_blocks * BLOCK_BYTES as u64
    }

    /// Number of blocks on each level, the leaves' level first, the top block's (always 1) last.
    #[must_use]
    pub fn levels(self) -> Vec<u64> {
        let mut blocks = self.data_blocks;
        let mut levels = Vec::new();
        while blocks > 1 {
            blocks = blocks.div_ceil(HASHES_PER_BLOCK);
            levels.push(blocks);
        }
        levels
    }

    /// Bytes that superblock and tree fill in the verity partition.
    #[must_use]
    pub fn partition_bytes(self) -> u64 {
        (1 + self.levels().iter().sum::<u64>()) * BLOCK_BYTES as u64
    }

    /// Where the leaves begin in the verity partition, in bytes.
    #[must_use]
    pub fn leaves_offset(self) -> u64 {
        (1 + self.levels().iter().skip(1).sum::<u64>()) * BLOCK_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_shrink_128_fold_and_end_in_one_block() {
        let levels = |blocks| Geometry::new(blocks).unwrap().levels();
        assert_eq!(levels(2), [1]);
        assert_eq!(levels(128), [1]);
        assert_eq!(levels(129), [2, 1]);
        assert_eq!(levels(128 * 128), [128, 1]);
        assert_eq!(levels(128 * 128 + 1), [129, 2, 1]);
    }

    #[test]
    fn a_partition_holds_the_superblock_then_the_levels_from_the_top() {
        let shape = Geometry::new(129).unwrap();
        assert_eq!(shape.partition_bytes(), 4 * 4096);
        assert_eq!(shape.leaves_offset(), 2 * 4096);
        assert_eq!(Geometry::new(2).unwrap().leaves_offset(), TOP_BLOCK_OFFSET);
    }

    #[test]
    fn trees_without_a_top_block_and_absurd_ones_are_refused() {
        for blocks in [0, 1, MAX_DATA_BLOCKS + 1, u64::MAX] {
            assert_eq!(Geometry::new(blocks), Err(GeometryError(blocks)));
        }
        assert!(Geometry::new(MAX_DATA_BLOCKS).unwrap().partition_bytes() > 0);
    }
}
