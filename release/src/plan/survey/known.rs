//! What the device has: old trees' blocks by their hashes; and the new trees, once they are proven.

use super::{Block, Ledger, Side, Survey, SurveyError, TreeStore, geometry, target};
use crate::{
    bundle::PayloadName,
    plan::{ActiveBlocks, BlockSet},
    verity::{
        BLOCK_BYTES, BlockHash, Geometry, HASH_BYTES, HASHES_PER_BLOCK, Superblock, TreeBuilder, hash_block,
    },
};

/// Where a block of an old tree is. The running slot's come first: its medium is the one that is known to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct OldBlock {
    payload: PayloadName,
    side: Side,
    number: u64,
}

/// What the device has.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Old trees' blocks by the first 8 bytes of their hashes, sorted.
    blocks: Vec<(u64, OldBlock)>,
    /// Hashes of the boot payloads' blocks, the running slot's first, and the trees over them.
    boots: Vec<Boot>,
    /// Blocks of the running root.
    pub(super) active: ActiveBlocks,
}

/// A slot's boot payload.
#[derive(Debug)]
struct Boot {
    hashes: Vec<BlockHash>,
    tree: Vec<u8>,
}

impl Known {
    /// Hashes of the boot payload's blocks of a slot.
    pub(super) fn boot_hashes(&self, side: Side) -> &[BlockHash] {
        let place = match side {
            Side::Running => 0,
            Side::Other => 1,
        };
        self.boots.get(place).map_or(&[], |boot| &boot.hashes)
    }

    /// Blocks of the running boot payload.
    pub(super) fn boot_blocks(&self) -> ActiveBlocks {
        ActiveBlocks::new(self.boot_hashes(Side::Running).iter().copied())
    }

    fn add(&mut self, block: OldBlock, hash: &BlockHash) {
        self.blocks.push((key(hash), block));
    }

    /// The block of an old tree that has this hash, if there is one that can be read. Nobody has proven it.
    pub(super) fn find<E>(&self, survey: &Survey<'_, E>, hash: &BlockHash) -> Result<Option<Block>, E> {
        let key = key(hash);
        let first = self.blocks.partition_point(|(there, _)| *there < key);
        let Some((_, old)) = self.blocks.get(first).filter(|(there, _)| *there == key) else {
            return Ok(None);
        };
        match (old.payload, old.side) {
            (PayloadName::Root, side) => survey.slots.root_tree_block(side, old.number),
            (PayloadName::Boot, Side::Running) => Ok(self.boot_tree_block(0, old.number)),
            (PayloadName::Boot, Side::Other) => Ok(self.boot_tree_block(1, old.number)),
        }
    }

    fn boot_tree_block(&self, place: usize, number: u64) -> Option<Block> {
        let blocks = self.boots.get(place)?.tree.as_chunks::<BLOCK_BYTES>().0;
        blocks.get(usize::try_from(number).ok()?).copied()
    }
}

fn key(hash: &BlockHash) -> u64 {
    hash.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

impl<E: From<SurveyError>> Survey<'_, E> {
    /// Looks at what both slots hold.
    pub(super) fn known(&self, ledger: &mut Ledger) -> Result<Known, E> {
        let mut known = Known::default();
        for side in [Side::Running, Side::Other] {
            self.look_at_boot(side, &mut known, ledger)?;
            self.look_at_root(side, &mut known)?;
        }
        known.blocks.sort_unstable();
        known.active.sort();
        Ok(known)
    }

    /// A boot payload has no tree on the disk, and is short: all of it is hashed.
    fn look_at_boot(&self, side: Side, known: &mut Known, ledger: &mut Ledger) -> Result<(), E> {
        let blocks = geometry(&self.manifest.boot)
            .map_err(SurveyError::from)?
            .data_blocks();
        let old = self.delta.and_then(|usable| usable.manifest.from.as_ref());
        let old = old.map_or(0, |old| old.boot.bytes / BLOCK_BYTES as u64);
        let hashes = self.slots.boot_hashes(side, blocks.max(old))?;
        ledger.read(hashes.len() as u64);
        let mut builder = TreeBuilder::new(self.manifest.verity.uuid, self.manifest.verity.salt);
        let payload = PayloadName::Boot;
        let built = builder.push_hashes(&hashes).and_then(|()| builder.finish());
        // A payload that is too short for a tree has no block of one.
        let tree = built.map_or_else(|_| Vec::new(), |tree| tree.to_bytes());
        for (number, block) in (0..).zip(tree.as_chunks().0).skip(1) {
            let hash = hash_block(&self.manifest.verity.salt, block);
            known.add(
                OldBlock {
                    payload,
                    side,
                    number,
                },
                &hash,
            );
        }
        known.boots.push(Boot { hashes, tree });
        Ok(())
    }

    /// A root's tree is on the disk. One of another salt says nothing.
    fn look_at_root(&self, side: Side, known: &mut Known) -> Result<(), E> {
        let Some(geometry) = self.old_root(side)? else {
            return Ok(());
        };
        if side == Side::Running {
            known.active =
                ActiveBlocks::with_room(usize::try_from(geometry.data_blocks()).unwrap_or_default());
        }
        let payload = PayloadName::Root;
        for number in 1..geometry.partition_bytes() / BLOCK_BYTES as u64 {
            let read = self.slots.root_tree_block(side, number)?;
            if let Some(block) = &read {
                let hash = hash_block(&self.manifest.verity.salt, block);
                known.add(
                    OldBlock {
                        payload,
                        side,
                        number,
                    },
                    &hash,
                );
            }
            if side == Side::Running {
                // What can't be read is where nothing is looked for.
                push_leaves(
                    &mut known.active,
                    geometry,
                    number,
                    &read.unwrap_or([0; BLOCK_BYTES]),
                );
            }
        }
        Ok(())
    }

    /// Shape of the root's tree in a slot, when it has one that compares.
    pub(super) fn old_root(&self, side: Side) -> Result<Option<Geometry>, E> {
        let is_ours = |superblock: &Superblock| superblock.salt == self.manifest.verity.salt;
        let found = self.slots.root_superblock(side)?.filter(is_ours);
        Ok(found.map(|superblock| superblock.geometry))
    }
}

/// Adds what a block of a tree says of data blocks, if it is one of leaves.
fn push_leaves(active: &mut ActiveBlocks, geometry: Geometry, number: u64, block: &Block) {
    let Some(place) = number.checked_sub(first_leaf_block(geometry)) else {
        return;
    };
    let first = place * HASHES_PER_BLOCK;
    for (number, hash) in (first..geometry.data_blocks()).zip(block.as_chunks::<HASH_BYTES>().0) {
        if let Ok(number) = u32::try_from(number) {
            active.push(hash, number);
        }
    }
}

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
