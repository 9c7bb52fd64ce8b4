//! Where the active slot has a block of given content.

use crate::verity::BlockHash;

/// The active slot's blocks by the first 8 bytes of their hashes: 16 bytes each instead of 36. Two different blocks that
/// share them are next to impossible below 2³² blocks; then the copy doesn't match its leaf, and is refused before it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActiveBlocks {
    /// Sorted by key, then by block.
    entries: Vec<(u64, u32)>,
}

impl ActiveBlocks {
    /// Takes the leaves of the active slot's tree, in order. What is behind 2³² blocks (16 TiB) is not looked at.
    #[must_use]
    pub fn new(leaves: impl Iterator<Item = BlockHash>) -> Self {
        let mut blocks = Self::default();
        leaves
            .zip(0..)
            .for_each(|(leaf, block)| blocks.push(&leaf, block));
        blocks.sort();
        blocks
    }

    /// Nothing yet, and room for `blocks` blocks.
    #[must_use]
    pub(super) fn with_room(blocks: usize) -> Self {
        Self {
            entries: Vec::with_capacity(blocks),
        }
    }

    /// Adds a block; [`ActiveBlocks::sort`] makes it found.
    pub(super) fn push(&mut self, leaf: &BlockHash, block: u32) {
        self.entries.push((key(leaf), block));
    }

    pub(super) fn sort(&mut self) {
        self.entries.sort_unstable();
    }

    /// The block that has the content of a leaf: `preferred` if that does, so that runs stay whole, else the first one.
    #[must_use]
    pub fn find(&self, leaf: &BlockHash, preferred: Option<u32>) -> Option<u32> {
        let key = key(leaf);
        let first = self.entries.partition_point(|entry| *entry < (key, 0));
        let found = self.entries.get(first).filter(|(there, _)| *there == key)?.1;
        let is_there = |block: &u32| self.entries.binary_search(&(key, *block)).is_ok();
        Some(preferred.filter(is_there).unwrap_or(found))
    }
}

fn key(leaf: &BlockHash) -> u64 {
    leaf.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_by_its_leaf_and_the_preferred_one_first() {
        let leaves = [[3; 32], [1; 32], [3; 32], [2; 32]];
        let active = ActiveBlocks::new(leaves.into_iter());
        assert_eq!(active.find(&[1; 32], None), Some(1));
        assert_eq!(active.find(&[3; 32], None), Some(0));
        assert_eq!(active.find(&[3; 32], Some(2)), Some(2));
        assert_eq!(active.find(&[3; 32], Some(3)), Some(0));
        assert_eq!(active.find(&[9; 32], Some(1)), None);
        assert_eq!(ActiveBlocks::default().find(&[0; 32], None), None);
    }
}
