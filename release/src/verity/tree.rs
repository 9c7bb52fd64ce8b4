//! Builds a tree from data that streams by, and checks one that was read.

use uuid::Uuid;

use super::{
    BLOCK_BYTES, BlockHash, Geometry, GeometryError, HASH_BYTES, Salt, Superblock, SuperblockError,
    hash_block, root_hash_of_top_block,
};
use crate::digest::RootHash;

/// A tree can't be built or believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The data doesn't end at a block's end.
    #[error("data of a verity tree comes in blocks of {BLOCK_BYTES} bytes, the last has {0}")]
    PartialBlock(usize),
    /// Too few or too many blocks.
    #[error("shape of a verity tree")]
    Geometry(#[from] GeometryError),
    /// The superblock can't be read.
    #[error("superblock of a verity tree")]
    Superblock(#[from] SuperblockError),
    /// The bytes are shorter or longer than the superblock says.
    #[error("a verity tree of this shape has {expected} bytes, here are {found}")]
    Length {
        /// What the superblock says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A block of the tree doesn't match the level above it, or the top doesn't match the root hash.
    #[error("verity tree: block {block} of the partition doesn't match its hash")]
    Mismatch {
        /// The damaged or forged block.
        block: u64,
    },
    /// Bytes after the superblock aren't zero, or the superblock counts padding among the hashes.
    #[error("verity tree: what pads the superblock or the hashes is wrong")]
    Padding,
}

/// Hashes data as it streams by. Memory: 1/128 of the data.
#[derive(Debug, Clone)]
pub struct TreeBuilder {
    uuid: Uuid,
    salt: Salt,
    leaves: Vec<u8>,
    partial: Vec<u8>,
}

impl TreeBuilder {
    /// Begins a tree; `uuid` names the hash device.
    #[must_use]
    pub const fn new(uuid: Uuid, salt: Salt) -> Self {
        Self {
            uuid,
            salt,
            leaves: Vec::new(),
            partial: Vec::new(),
        }
    }

    /// Takes the next bytes of the data, of any length.
    pub fn push(&mut self, mut data: &[u8]) {
        if !self.partial.is_empty() {
            let (head, rest) = data.split_at(data.len().min(BLOCK_BYTES - self.partial.len()));
            self.partial.extend_from_slice(head);
            data = rest;
            if let Some(block) = self.partial.first_chunk() {
                self.leaves.extend(hash_block(&self.salt, block));
                self.partial.clear();
            }
        }
        let (blocks, rest) = data.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            self.leaves.extend(hash_block(&self.salt, block));
        }
        self.partial.extend_from_slice(rest);
    }

    /// Takes the hashes of the next whole blocks, made by [`hash_block`] on another thread.
    ///
    /// # Errors
    /// When bytes of an unfinished block are waiting.
    pub fn push_hashes(&mut self, hashes: &[BlockHash]) -> Result<(), TreeError> {
        if !self.partial.is_empty() {
            return Err(TreeError::PartialBlock(self.partial.len()));
        }
        self.leaves.extend_from_slice(hashes.as_flattened());
        Ok(())
    }

    /// Completes the levels above the leaves.
    ///
    /// # Errors
    /// When the data isn't at least two whole blocks.
    pub fn finish(self) -> Result<HashTree, TreeError> {
        if !self.partial.is_empty() {
            return Err(TreeError::PartialBlock(self.partial.len()));
        }
        let geometry = Geometry::new((self.leaves.len() / HASH_BYTES) as u64)?;
        let superblock = Superblock {
            uuid: self.uuid,
            geometry,
            salt: self.salt,
        };
        Ok(HashTree::over(superblock, self.leaves))
    }
}

/// A complete tree, held in memory (1/127 of the data).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTree {
    superblock: Superblock,
    root: RootHash,
    /// Levels with their padding, the leaves first, the top block last.
    levels: Vec<Vec<u8>>,
}

impl HashTree {
    /// The tree over hashes of data blocks, as many as the superblock says (two at least).
    fn over(superblock: Superblock, mut leaves: Vec<u8>) -> Self {
        pad(&mut leaves);
        let mut levels = vec![leaves];
        let mut top = [0; BLOCK_BYTES];
        loop {
            let blocks = levels
                .last()
                .map_or(&[][..], |level| level.as_chunks::<BLOCK_BYTES>().0);
            if let [only] = blocks {
                top.copy_from_slice(only);
                break;
            }
            let mut next: Vec<u8> = blocks
                .iter()
                .flat_map(|block| hash_block(&superblock.salt, block))
                .collect();
            pad(&mut next);
            levels.push(next);
        }
        let root = root_hash_of_top_block(&superblock.salt, &top);
        Self {
            superblock,
            root,
            levels,
        }
    }

    /// Reads the bytes of a verity partition and believes them only if they match `root`, from the top to the leaves.
    /// `partition` is exactly [`Geometry::partition_bytes`] long.
    ///
    /// # Errors
    /// When the superblock or length is wrong, or any block of the tree doesn't match.
    pub fn parse(partition: &[u8], root: &RootHash) -> Result<Self, TreeError> {
        let superblock = Superblock::parse(partition)?;
        let (expected, found) = (superblock.geometry.partition_bytes(), partition.len() as u64);
        if expected != found {
            return Err(TreeError::Length { expected, found });
        }
        let start = usize::try_from(superblock.geometry.leaves_offset()).unwrap_or(usize::MAX);
        let hashes = usize::try_from(superblock.geometry.data_blocks()).unwrap_or(usize::MAX);
        let leaves = partition.get(start..).unwrap_or_default();
        let leaves = leaves
            .get(..hashes.saturating_mul(HASH_BYTES))
            .unwrap_or_default();
        // The root hash doesn't cover the number of blocks: one too many would take padding for a hash.
        if leaves.last_chunk() == Some(&[0; HASH_BYTES]) {
            return Err(TreeError::Padding);
        }
        // The leaves decide every byte above them: build that again, compare, and point at the first difference.
        let tree = Self::over(superblock, leaves.to_vec());
        tree.compare(partition, root)?;
        Ok(tree)
    }

    /// Refuses a root hash or a byte of `partition` that isn't this tree's.
    fn compare(&self, partition: &[u8], root: &RootHash) -> Result<(), TreeError> {
        let ours = self.to_bytes();
        let pairs = ours.chunks(BLOCK_BYTES).zip(partition.chunks(BLOCK_BYTES));
        match pairs.into_iter().position(|(a, b)| a != b) {
            Some(0) => Err(TreeError::Padding),
            Some(block) => Err(TreeError::Mismatch { block: block as u64 }),
            None if self.root != *root => Err(TreeError::Mismatch { block: 1 }),
            None => Ok(()),
        }
    }

    /// What the superblock says.
    #[must_use]
    pub const fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The hash that stands for the whole data.
    #[must_use]
    pub const fn root_hash(&self) -> RootHash {
        self.root
    }

    /// The hashes of the data blocks, in order.
    #[must_use]
    pub fn leaves(&self) -> &[BlockHash] {
        let all = self.levels.first().map_or(&[][..], |level| level.as_chunks().0);
        let count = usize::try_from(self.superblock.geometry.data_blocks()).unwrap_or(usize::MAX);
        all.get(..count).unwrap_or(all)
    }

    /// The hash of each block of the leaves' level: those of the level above, or the root hash alone.
    #[must_use]
    pub fn leaf_block_hashes(&self) -> Vec<BlockHash> {
        let leaves = self
            .levels
            .first()
            .map_or(&[][..], |level| level.as_chunks::<BLOCK_BYTES>().0);
        leaves
            .iter()
            .map(|block| hash_block(&self.superblock.salt, block))
            .collect()
    }

    /// Whether `block` is what the tree has at `index`.
    #[must_use]
    pub fn matches(&self, index: u64, block: &[u8; BLOCK_BYTES]) -> bool {
        let leaf = usize::try_from(index)
            .ok()
            .and_then(|index| self.leaves().get(index));
        leaf == Some(&hash_block(&self.superblock.salt, block))
    }

    /// The content of the verity partition: superblock in its block, then the tree from the top.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.superblock.to_bytes().to_vec();
        bytes.resize(BLOCK_BYTES, 0);
        for level in self.levels.iter().rev() {
            bytes.extend_from_slice(level);
        }
        bytes
    }
}

/// Fills the last block of a level with zeros.
fn pad(level: &mut Vec<u8>) {
    level.resize(level.len().next_multiple_of(BLOCK_BYTES), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(blocks: usize) -> Vec<u8> {
        (0..blocks * BLOCK_BYTES)
            .map(|i| (i / BLOCK_BYTES * 7 + i % 251).to_le_bytes()[0])
            .collect()
    }

    fn tree(data: &[u8]) -> HashTree {
        let mut builder = TreeBuilder::new(Uuid::from_u128(1), Salt::from_bytes([3; 32]));
        builder.push(data);
        builder.finish().unwrap()
    }

    #[test]
    fn the_root_hash_is_found_from_the_top_block_alone() {
        for blocks in [2, 128, 129, 300] {
            let tree = tree(&data(blocks));
            let bytes = tree.to_bytes();
            let top = bytes[BLOCK_BYTES..].first_chunk().unwrap();
            assert_eq!(
                root_hash_of_top_block(&tree.superblock().salt, top),
                tree.root_hash()
            );
            assert_eq!(bytes.len() as u64, tree.superblock().geometry.partition_bytes());
        }
    }

    #[test]
    fn data_that_is_no_two_whole_blocks_has_no_tree() {
        let finish = |len: usize| {
            let mut builder = TreeBuilder::new(Uuid::nil(), Salt::from_bytes([0; 32]));
            builder.push(&vec![0; len]);
            builder.finish()
        };
        assert_eq!(finish(BLOCK_BYTES), Err(TreeError::Geometry(GeometryError(1))));
        assert_eq!(
            finish(3 * BLOCK_BYTES - 1),
            Err(TreeError::PartialBlock(BLOCK_BYTES - 1))
        );
    }

    #[test]
    fn hashes_made_elsewhere_give_the_same_tree() {
        let data = data(200);
        let whole = tree(&data);
        let mut builder = TreeBuilder::new(Uuid::from_u128(1), Salt::from_bytes([3; 32]));
        builder.push_hashes(whole.leaves()).unwrap();
        assert_eq!(builder.finish().unwrap(), whole);
    }

    #[test]
    fn the_right_tree_under_another_root_hash_is_refused() {
        let tree = tree(&data(130));
        let other = RootHash::from_bytes([0; 32]);
        assert_eq!(
            HashTree::parse(&tree.to_bytes(), &other),
            Err(TreeError::Mismatch { block: 1 })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn how_the_data_is_cut_doesnt_matter(cuts in proptest::collection::vec(0..600_000_usize, 0..8)) {
            let data = data(140);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(data.len())).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let mut builder = TreeBuilder::new(Uuid::from_u128(1), Salt::from_bytes([3; 32]));
            for pair in cuts.windows(2) {
                builder.push(&data[pair[0]..pair[1]]);
            }
            prop_assert_eq!(builder.finish().unwrap(), tree(&data));
        }

        #[test]
        fn a_tree_with_one_changed_bit_is_refused(blocks in 2..300_usize, place: prop::sample::Index, bit in 0..8) {
            let tree = tree(&data(blocks));
            let mut bytes = tree.to_bytes();
            prop_assert_eq!(&HashTree::parse(&bytes, &tree.root_hash()).unwrap(), &tree);
            let place = place.index(bytes.len());
            let in_uuid = (16..32).contains(&place);
            bytes[place] ^= 1_u8 << bit;
            // The UUID is the only thing that the root hash doesn't cover.
            prop_assert_eq!(HashTree::parse(&bytes, &tree.root_hash()).is_ok(), in_uuid);
        }

        #[test]
        fn a_block_matches_at_its_own_place_only(index in 0..140_u64) {
            let data = data(140);
            let tree = tree(&data);
            let at = usize::try_from(index).unwrap() * BLOCK_BYTES;
            let block = data[at..].first_chunk().unwrap();
            prop_assert!(tree.matches(index, block));
            prop_assert!(!tree.matches(index + 1, block));
        }
    }
}
