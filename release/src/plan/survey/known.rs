//! What the device has: old trees' blocks by their hashes, and the blocks of what runs.

use super::{Block, Ledger, Side, Survey, SurveyError, geometry, proven::first_leaf_block};
use crate::{
    bundle::PayloadName,
    plan::ActiveBlocks,
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
