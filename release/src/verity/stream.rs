//! Verifies a tree while its blocks come by, in the order in which they lie in the partition: a device neither holds the
//! whole tree in memory nor uses a hash of it before the hash is proven.

use super::{
    BLOCK_BYTES, BlockHash, Geometry, HASH_BYTES, SUPERBLOCK_BYTES, Salt, Superblock, TreeError, hash_block,
    root_hash_of_top_block,
};
use crate::digest::RootHash;

/// Takes the blocks of a verity partition one by one. Memory: 1/128 of the leaves' level.
#[derive(Debug, Clone)]
pub struct TreeVerifier {
    root: RootHash,
    geometry: Geometry,
    superblock: Option<Superblock>,
    /// Number of blocks of each level that isn't complete, the topmost last.
    levels: Vec<u64>,
    /// Hashes that this level's blocks must have; empty on the top level, whose hash is the root's.
    expected: Vec<BlockHash>,
    /// Hashes that the next level's blocks must have.
    below: Vec<BlockHash>,
    /// The next block's number on its level.
    next: u64,
    /// The next block's number in the partition.
    block: u64,
}

/// What a proven block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeBlock {
    /// The superblock's. What it says of the tree's shape is proven, its UUID never is.
    Superblock,
    /// Hashes of other blocks of the tree.
    Inner,
    /// Hashes of data blocks: 32 bytes each, from the block's start.
    Leaves {
        /// Number of the first data block.
        first: u64,
        /// How many; what follows is zero.
        count: usize,
    },
}

impl TreeVerifier {
    /// Begins the tree over the data of `geometry` whose top hash is `root`. Both come from who vouches for the data.
    #[must_use]
    pub fn new(geometry: Geometry, root: RootHash) -> Self {
        Self {
            root,
            geometry,
            superblock: None,
            levels: geometry.levels(),
            expected: Vec::new(),
            below: Vec::new(),
            next: 0,
            block: 0,
        }
    }

    /// The superblock, once it has come by.
    #[must_use]
    pub const fn superblock(&self) -> Option<&Superblock> {
        self.superblock.as_ref()
    }

    /// Whether all blocks have come by.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.levels.is_empty()
    }

    /// Takes the next block.
    ///
    /// # Errors
    /// When it isn't what the blocks above it demand, or one too many.
    pub fn push(&mut self, block: &[u8; BLOCK_BYTES]) -> Result<TreeBlock, TreeError> {
        let Some(superblock) = self.superblock else {
            return self.first(block);
        };
        let Some(&blocks) = self.levels.last() else {
            return Err(self.length(self.block + 1));
        };
        self.prove(&superblock.salt, block)?;
        let is_leaf = self.levels.len() == 1;
        let under = match self.levels.iter().rev().nth(1) {
            None => self.geometry.data_blocks(),
            Some(blocks) => *blocks,
        };
        let first = self.next * (BLOCK_BYTES / HASH_BYTES) as u64;
        let hashes = block.as_chunks::<HASH_BYTES>().0;
        let count =
            usize::try_from(under.saturating_sub(first)).map_or(hashes.len(), |left| left.min(hashes.len()));
        let (used, padding) = hashes.split_at(count);
        if padding.iter().any(|hash| *hash != [0; HASH_BYTES]) {
            return Err(TreeError::Padding);
        }
        if !is_leaf {
            self.below.extend_from_slice(used);
        }
        self.next += 1;
        self.block += 1;
        if self.next == blocks {
            self.levels.pop();
            self.expected = std::mem::take(&mut self.below);
            self.next = 0;
        }
        Ok(if is_leaf {
            TreeBlock::Leaves { first, count }
        } else {
            TreeBlock::Inner
        })
    }

    fn first(&mut self, block: &[u8; BLOCK_BYTES]) -> Result<TreeBlock, TreeError> {
        let superblock = Superblock::parse(block)?;
        if superblock.geometry != self.geometry {
            return Err(self.length(superblock.geometry.partition_bytes() / BLOCK_BYTES as u64));
        }
        if block.iter().skip(SUPERBLOCK_BYTES).any(|byte| *byte != 0) {
            return Err(TreeError::Padding);
        }
        self.superblock = Some(superblock);
        self.block = 1;
        Ok(TreeBlock::Superblock)
    }

    fn prove(&self, salt: &Salt, block: &[u8; BLOCK_BYTES]) -> Result<(), TreeError> {
        let proven = if self.block == 1 {
            root_hash_of_top_block(salt, block) == self.root
        } else {
            let index = usize::try_from(self.next).unwrap_or(usize::MAX);
            self.expected.get(index) == Some(&hash_block(salt, block))
        };
        if proven {
            Ok(())
        } else {
            Err(TreeError::Mismatch { block: self.block })
        }
    }

    fn length(&self, blocks: u64) -> TreeError {
        TreeError::Length {
            expected: self.geometry.partition_bytes(),
            found: blocks * BLOCK_BYTES as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::verity::{HashTree, TreeBuilder};

    fn tree(blocks: usize) -> HashTree {
        let mut builder = TreeBuilder::new(Uuid::from_u128(1), Salt::from_bytes([3; 32]));
        let hashes: Vec<BlockHash> = (0..blocks)
            .map(|number| {
                hash_block(
                    &Salt::from_bytes([3; 32]),
                    &[number.to_le_bytes()[0]; BLOCK_BYTES],
                )
            })
            .collect();
        builder.push_hashes(&hashes).unwrap();
        builder.finish().unwrap()
    }

    /// The leaves that are proven, or the first error.
    fn leaves(tree: &HashTree, bytes: &[u8], root: RootHash) -> Result<Vec<BlockHash>, TreeError> {
        let mut verifier = TreeVerifier::new(tree.superblock().geometry, root);
        let mut leaves = Vec::new();
        for block in bytes.as_chunks::<BLOCK_BYTES>().0 {
            if let TreeBlock::Leaves { first, count } = verifier.push(block)? {
                assert_eq!(first, leaves.len() as u64);
                leaves.extend_from_slice(&block.as_chunks::<HASH_BYTES>().0[..count]);
            }
        }
        assert!(verifier.is_complete());
        Ok(leaves)
    }

    #[test]
    fn leaves_come_by_in_order_for_every_number_of_levels() {
        for blocks in [2, 127, 128, 129, 128 * 128, 128 * 128 + 1, 40_000] {
            let tree = tree(blocks);
            let found = leaves(&tree, &tree.to_bytes(), tree.root_hash()).unwrap();
            assert_eq!(found, tree.leaves(), "{blocks}");
        }
    }

    #[test]
    fn a_tree_of_another_shape_or_root_and_one_block_too_many_are_refused() {
        let (tree, other) = (tree(300), tree(301));
        assert!(matches!(
            leaves(&tree, &other.to_bytes(), other.root_hash()),
            Err(TreeError::Length { .. })
        ));
        assert_eq!(
            leaves(&tree, &tree.to_bytes(), other.root_hash()),
            Err(TreeError::Mismatch { block: 1 })
        );
        let longer = [tree.to_bytes(), vec![0; BLOCK_BYTES]].concat();
        assert!(matches!(
            leaves(&tree, &longer, tree.root_hash()),
            Err(TreeError::Length { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_changed_bit_is_noticed_at_its_own_block(blocks in 2..40_000_usize, place: prop::sample::Index, bit in 0..8) {
            let tree = tree(blocks);
            let mut bytes = tree.to_bytes();
            let place = place.index(bytes.len());
            bytes[place] ^= 1_u8 << bit;
            let mut verifier = TreeVerifier::new(tree.superblock().geometry, tree.root_hash());
            let wrong = bytes.as_chunks::<BLOCK_BYTES>().0.iter().position(|block| verifier.push(block).is_err());
            let in_uuid = (16..32).contains(&place);
            // A changed salt shows at the first hash that it is used for.
            let in_salt = (88..120).contains(&place);
            let expected = if in_salt { 1 } else { place / BLOCK_BYTES };
            prop_assert_eq!(wrong, (!in_uuid).then_some(expected));
        }
    }
}
