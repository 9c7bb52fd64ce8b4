//! What both slots hold already, and the plan that follows from it.

use std::cell::RefCell;

use outcrop_release::{
    bundle::FrameTable,
    plan::{ActiveBlocks, BlockSet, PayloadFacts, PayloadPlan},
    verity::{BLOCK_BYTES, BlockHash, HASH_BYTES, Salt, Superblock, hash_block},
};

use super::{
    engine::{Installation, PlannedPayload, Stage},
    error::InstallError,
    reading::Reading,
    source::Source,
    trees::{Scratch, Tree},
};
use crate::disk::{Area, Disk};

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Plans a payload: compares the slot that is written to with the new tree, and looks for the rest in `active`.
    pub(super) fn plan(
        &self,
        table: &FrameTable,
        tree: Tree,
        target: Area,
        active: &ActiveBlocks,
    ) -> Result<PlannedPayload, InstallError> {
        let mut leaves = tree.leaves(self.scratch);
        let mut in_place = BlockSet::new();
        self.each_block(target, leaves.count(), Reading::Lenient, |number, block| {
            self.watch.advance(Stage::Compare, BLOCK_BYTES as u64);
            if hash_block(tree.salt(), block) == leaves.get(number)? {
                // Numbers of blocks have 32 bits, or there would be no plan.
                in_place.insert(u32::try_from(number).unwrap_or(u32::MAX));
            }
            Ok(())
        })?;
        let failed = RefCell::new(None);
        let mut leaves = tree.leaves(self.scratch);
        let hashes = (0..leaves.count()).map_while(|number| match leaves.get(number) {
            Ok(leaf) => Some(leaf),
            Err(error) => {
                *failed.borrow_mut() = Some(error);
                None
            }
        });
        let facts = PayloadFacts {
            frames: table,
            in_place: &in_place,
            active,
        };
        let plan = PayloadPlan::new(&facts, hashes);
        match failed.into_inner() {
            Some(error) => Err(error),
            None => Ok(PlannedPayload {
                plan: plan?,
                in_place,
            }),
        }
    }

    /// Hashes of the first blocks of an area; fewer when it is shorter.
    pub(super) fn hashed(
        &self,
        area: Area,
        blocks: u64,
        salt: &Salt,
    ) -> Result<Vec<BlockHash>, InstallError> {
        let blocks = blocks.min(self.disk.bytes(area) / BLOCK_BYTES as u64);
        let count = usize::try_from(blocks).unwrap_or_default();
        // No block has this hash: one that can't be read is where nothing is looked for.
        let mut hashes = vec![[0; HASH_BYTES]; count];
        self.each_block(area, blocks, Reading::Hint, |number, block| {
            let place = usize::try_from(number)
                .ok()
                .and_then(|number| hashes.get_mut(number));
            if let Some(place) = place {
                *place = hash_block(salt, block);
            }
            Ok(())
        })?;
        Ok(hashes)
    }

    /// What the running slot's root has, by its tree. That is a hint: what is copied is compared with the new tree. A tree of
    /// another salt says nothing.
    pub(super) fn tree_of_running(&self, salt: &Salt) -> Result<ActiveBlocks, InstallError> {
        let area = Area::Verity(self.running);
        let mut first = [0; BLOCK_BYTES];
        let read = self.disk.read(area, 0, &mut first).ok();
        let Some(superblock) = read.and_then(|()| Superblock::parse(&first).ok()) else {
            return Ok(ActiveBlocks::default());
        };
        let geometry = superblock.geometry;
        let is_there = geometry.partition_bytes() <= self.disk.bytes(area)
            && geometry.data_bytes() <= self.disk.bytes(Area::Root(self.running));
        if superblock.salt != *salt || !is_there {
            return Ok(ActiveBlocks::default());
        }
        let first_block = geometry.leaves_offset() / BLOCK_BYTES as u64;
        let last_block = geometry.partition_bytes() / BLOCK_BYTES as u64;
        let leaves = (first_block..last_block).flat_map(|number| {
            let mut block = [0; BLOCK_BYTES];
            if self
                .disk
                .read(area, number * BLOCK_BYTES as u64, &mut block)
                .is_err()
            {
                block = [0; BLOCK_BYTES]; // what can't be read is where nothing is looked for
            }
            block.as_chunks::<HASH_BYTES>().0.to_vec()
        });
        let count = usize::try_from(geometry.data_blocks()).unwrap_or(usize::MAX);
        self.watch.checkpoint()?;
        Ok(ActiveBlocks::new(leaves.take(count)))
    }
}
