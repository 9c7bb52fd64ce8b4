//! From a root hash down: which blocks of a tree are needed, each with the hash that it must have.
//!
//! Whoever drives it takes each block from wherever it may be: from an older tree that the device has, or from the bundle. A block
//! is believed when it has the hash that the block above it says; so it doesn't matter where it came from.

use super::{BLOCK_BYTES, BlockHash, Geometry, HASH_BYTES, HASHES_PER_BLOCK, Salt, TreeError, hash_block};
use crate::digest::RootHash;

/// A block of a tree that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedBlock {
    /// Its number in the verity partition: 0 is the superblock's, 1 the top block's.
    pub number: u64,
    /// The hash that it must have.
    pub hash: BlockHash,
}

/// What is known of a block of the level that is being gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Wanted,
    Proven,
    Deferred,
}

/// Goes through a tree level by level. Memory: the hashes of two levels.
#[derive(Debug, Clone)]
pub struct Descent {
    salt: Salt,
    data_blocks: u64,
    /// Number of blocks of each level that isn't complete, the topmost last.
    levels: Vec<u64>,
    /// Number in the partition of this level's first block.
    first: u64,
    /// Hashes of this level's blocks, and what is known of each.
    blocks: Vec<(BlockHash, State)>,
    /// Hashes of the next level's.
    below: Vec<BlockHash>,
}

impl Descent {
    /// Begins at the top. Shape, root hash and salt come from who vouches for the data.
    #[must_use]
    pub fn new(geometry: Geometry, root: &RootHash, salt: Salt) -> Self {
        let mut descent = Self {
            salt,
            data_blocks: geometry.data_blocks(),
            levels: geometry.levels(),
            first: 1,
            blocks: vec![(*root.as_bytes(), State::Wanted)],
            below: Vec::new(),
        };
        descent.make_room();
        descent
    }

    /// Blocks of this level that are still needed, ascending. None when the tree is complete, or [`Descent::go_down`] is due.
    pub fn wanted(&self) -> impl Iterator<Item = WantedBlock> {
        (self.first..)
            .zip(&self.blocks)
            .filter(|(_, (_, state))| *state == State::Wanted)
            .map(|(number, (hash, _))| WantedBlock { number, hash: *hash })
    }

    /// Whether this level's blocks hold the hashes of data blocks.
    #[must_use]
    pub fn is_at_leaves(&self) -> bool {
        self.levels.len() == 1
    }

    /// Whether all levels have been gone through.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.levels.is_empty()
    }

    /// Takes a block of this level. Nothing in it is used before it is proven.
    ///
    /// # Errors
    /// When it isn't what the block above it demands, or no block of this level.
    pub fn supply(&mut self, number: u64, block: &[u8; BLOCK_BYTES]) -> Result<(), TreeError> {
        let wrong = TreeError::Mismatch { block: number };
        let place = number.checked_sub(self.first).ok_or_else(|| wrong.clone())?;
        let index = usize::try_from(place).map_err(|_| wrong.clone())?;
        let (hash, state) = self.blocks.get_mut(index).ok_or_else(|| wrong.clone())?;
        if hash_block(&self.salt, block) != *hash {
            return Err(wrong);
        }
        let used = used_hashes(
            place,
            self.below.len() as u64,
            self.levels.len() == 1,
            self.data_blocks,
        );
        let (used, padding) = block.as_chunks::<HASH_BYTES>().0.split_at(used);
        if padding.iter().any(|hash| *hash != [0; HASH_BYTES]) {
            return Err(TreeError::Padding);
        }
        *state = State::Proven;
        let start = index * (BLOCK_BYTES / HASH_BYTES);
        for (below, hash) in self.below.iter_mut().skip(start).zip(used) {
            *below = *hash;
        }
        Ok(())
    }

    /// Leaves a block of hashes of data blocks out for now: somebody will make the data, and its hashes with it.
    pub fn defer(&mut self, number: u64) {
        let place = number
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        let is_at_leaves = self.is_at_leaves();
        if let Some((_, state)) = place.and_then(|place| self.blocks.get_mut(place))
            && is_at_leaves
        {
            *state = State::Deferred;
        }
    }

    /// Goes to the next level, once this one has all its blocks; numbers of those that were deferred, which are in no level but the
    /// last.
    ///
    /// # Errors
    /// When a block is missing.
    pub fn go_down(&mut self) -> Result<Vec<u64>, TreeError> {
        if let Some(missing) = self.wanted().next() {
            return Err(TreeError::Mismatch {
                block: missing.number,
            });
        }
        let states = (self.first..).zip(&self.blocks);
        let deferred = states
            .filter(|(_, (_, state))| *state == State::Deferred)
            .map(|(number, _)| number)
            .collect();
        self.first += self.blocks.len() as u64;
        self.levels.pop();
        let below = std::mem::take(&mut self.below);
        self.blocks = below.into_iter().map(|hash| (hash, State::Wanted)).collect();
        self.make_room();
        Ok(deferred)
    }

    /// Room for the hashes of the next level, when there is one.
    fn make_room(&mut self) {
        let below = self.levels.iter().rev().nth(1).copied().unwrap_or_default();
        self.below = vec![[0; HASH_BYTES]; usize::try_from(below).unwrap_or_default()];
    }
}

/// How many hashes the block at `place` of its level has.
fn used_hashes(place: u64, below: u64, is_leaf: bool, data_blocks: u64) -> usize {
    let all = if is_leaf { data_blocks } else { below };
    let left = all.saturating_sub(place.saturating_mul(HASHES_PER_BLOCK));
    usize::try_from(left.min(HASHES_PER_BLOCK)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::verity::{HashTree, TreeBuilder};

    fn salt() -> Salt {
        Salt::from_bytes([3; 32])
    }

    fn tree(contents: impl IntoIterator<Item = u64>) -> HashTree {
        let mut builder = TreeBuilder::new(Uuid::from_u128(1), salt());
        let hash = |content: u64| {
            let mut hash = [0xa5; HASH_BYTES];
            hash[..8].copy_from_slice(&content.to_le_bytes());
            hash
        };
        let hashes: Vec<BlockHash> = contents.into_iter().map(hash).collect();
        builder.push_hashes(&hashes).unwrap();
        builder.finish().unwrap()
    }

    fn blocks(tree: &HashTree) -> Vec<[u8; BLOCK_BYTES]> {
        tree.to_bytes().as_chunks().0.to_vec()
    }

    fn descent(tree: &HashTree) -> Descent {
        Descent::new(tree.superblock().geometry, &tree.root_hash(), salt())
    }

    #[test]
    fn every_block_is_wanted_once_and_level_by_level() {
        for count in [2, 128, 129, 128 * 128 + 1] {
            let tree = tree(0..count);
            let blocks = blocks(&tree);
            let mut descent = descent(&tree);
            let mut seen = Vec::new();
            while !descent.is_complete() {
                // From the last to the first: the order within a level doesn't matter.
                let wanted: Vec<u64> = descent.wanted().map(|wanted| wanted.number).collect();
                for number in wanted.iter().rev() {
                    let block = &blocks[usize::try_from(*number).unwrap()];
                    descent.supply(*number, block).unwrap();
                }
                seen.extend(wanted);
                assert!(descent.go_down().unwrap().is_empty());
            }
            let all: Vec<u64> = (1..blocks.len() as u64).collect();
            assert_eq!(seen, all, "{count}");
        }
    }

    #[test]
    fn a_level_without_one_of_its_blocks_is_not_left_and_another_level_s_block_is_refused() {
        let tree = tree(0..300);
        let blocks = blocks(&tree);
        let mut descent = descent(&tree);
        assert!(descent.go_down().is_err());
        assert!(descent.supply(2, &blocks[2]).is_err());
        assert!(descent.supply(0, &blocks[0]).is_err());
        descent.defer(1);
        assert!(descent.go_down().is_err(), "only leaves are deferred");
        descent.supply(1, &blocks[1]).unwrap();
        descent.go_down().unwrap();
        descent.supply(2, &blocks[2]).unwrap();
        assert!(descent.supply(3, &blocks[4]).is_err());
        descent.supply(4, &blocks[4]).unwrap();
        descent.defer(3);
        assert_eq!(descent.go_down().unwrap(), [3]);
        assert!(descent.is_complete());
    }

    #[test]
    fn hashes_in_the_padding_are_refused() {
        // A tree of 130 blocks under a geometry of 129: the last hash would be padding.
        let tree = tree(0..130);
        let mut descent = Descent::new(Geometry::new(129).unwrap(), &tree.root_hash(), salt());
        let blocks = blocks(&tree);
        descent.supply(1, &blocks[1]).unwrap();
        descent.go_down().unwrap();
        assert_eq!(descent.supply(3, &blocks[3]), Err(TreeError::Padding));
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_noticed_before_anything_below_is_wanted(count in 2..40_000_u64, place: prop::sample::Index, bit in 0..8) {
            let tree = tree(0..count);
            let mut blocks = blocks(&tree);
            let place = BLOCK_BYTES + place.index((blocks.len() - 1) * BLOCK_BYTES);
            blocks[place / BLOCK_BYTES][place % BLOCK_BYTES] ^= 1_u8 << bit;
            let mut descent = descent(&tree);
            let mut refused = None;
            'levels: while !descent.is_complete() {
                for wanted in descent.wanted().collect::<Vec<_>>() {
                    if descent.supply(wanted.number, &blocks[usize::try_from(wanted.number).unwrap()]).is_err() {
                        refused = Some(wanted.number);
                        break 'levels;
                    }
                }
                descent.go_down().unwrap();
            }
            prop_assert_eq!(refused, Some((place / BLOCK_BYTES) as u64));
        }
    }
}
