//! The new trees, once they are proven.

use super::{Block, Survey, SurveyError, TreeStore, target};
use crate::{
    bundle::PayloadName,
    plan::BlockSet,
    verity::{BLOCK_BYTES, BlockHash, Geometry, HASH_BYTES, HASHES_PER_BLOCK},
};

/// The first block of a verity partition that holds hashes of data blocks.
pub(super) fn first_leaf_block(geometry: Geometry) -> u64 {
    geometry.leaves_offset() / BLOCK_BYTES as u64
}

/// The new tree of a payload: all of it is proven and kept, but for blocks of leaves that were deferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenTree {
    payload: PayloadName,
    geometry: Geometry,
    /// Blocks of leaves that aren't known, by their number in the partition.
    unknown: BlockSet,
}

impl ProvenTree {
    pub(super) const fn new(payload: PayloadName, geometry: Geometry, unknown: BlockSet) -> Self {
        Self {
            payload,
            geometry,
            unknown,
        }
    }

    /// Whose tree it is.
    #[must_use]
    pub const fn payload(&self) -> PayloadName {
        self.payload
    }

    /// Its shape.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Blocks of leaves that aren't known, by their number in the partition.
    #[must_use]
    pub const fn unknown(&self) -> &BlockSet {
        &self.unknown
    }

    /// Says that a block of leaves has been proven and kept.
    pub fn learned(&mut self, number: u32) {
        self.unknown.remove(number);
    }

    /// The block of leaves that has the hash of a data block, by its number in the partition.
    #[must_use]
    pub fn leaf_block_of(&self, block: u64) -> u64 {
        first_leaf_block(self.geometry) + block / HASHES_PER_BLOCK
    }

    /// Where the hash of a block of leaves is kept: the block of the level above it, and its place there. None when there is no
    /// level above: the hash is the root hash.
    #[must_use]
    pub fn above_leaf_block(&self, number: u64) -> Option<(u64, usize)> {
        let first = first_leaf_block(self.geometry);
        let above = self.geometry.levels().get(1).copied()?;
        let place = number.checked_sub(first)?;
        let index = usize::try_from(place % HASHES_PER_BLOCK).ok()?;
        Some((first - above + place / HASHES_PER_BLOCK, index))
    }

    fn is_known(&self, leaf_block: u64) -> bool {
        u32::try_from(leaf_block).is_ok_and(|number| !self.unknown.contains(number))
    }
}

/// Hashes of a payload's data blocks, read from where they are kept a block at a time.
pub struct Leaves<'a, E> {
    tree: &'a ProvenTree,
    store: &'a dyn TreeStore<E>,
    cached: Option<(u64, Block)>,
}

impl<'a, E> Leaves<'a, E> {
    /// Those of a tree that is kept in `store`.
    #[must_use]
    pub const fn new(tree: &'a ProvenTree, store: &'a dyn TreeStore<E>) -> Self {
        Self {
            tree,
            store,
            cached: None,
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.tree.geometry.data_blocks()
    }

    /// The hash of a data block; none when it isn't known.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn get(&mut self, block: u64) -> Result<Option<BlockHash>, E> {
        let wanted = self.tree.leaf_block_of(block);
        if !self.tree.is_known(wanted) {
            return Ok(None);
        }
        let kept = match &self.cached {
            Some((number, kept)) if *number == wanted => kept,
            _ => {
                let kept = self.store.kept(self.tree.payload, wanted)?;
                &self.cached.insert((wanted, kept)).1
            }
        };
        let place = usize::try_from(block % HASHES_PER_BLOCK).unwrap_or_default();
        Ok(kept.as_chunks::<HASH_BYTES>().0.get(place).copied())
    }

    /// All, in order.
    pub(super) fn all(&mut self) -> impl Iterator<Item = Result<Option<BlockHash>, E>> {
        (0..self.count()).map(|block| self.get(block))
    }
}

impl<E: From<SurveyError>> Survey<'_, E> {
    /// The hash that a block of leaves must have.
    pub(super) fn leaf_block_hash(&self, tree: &ProvenTree, number: u64) -> Result<BlockHash, E> {
        let Some((above, place)) = tree.above_leaf_block(number) else {
            return Ok(*target(self.manifest, tree.payload).root_hash.as_bytes());
        };
        let block = self.trees.kept(tree.payload, above)?;
        Ok(block.as_chunks().0.get(place).copied().unwrap_or_default())
    }
}
