//! What both slots hold already, and the plan that follows from it.

use std::{cell::RefCell, iter, ops::Range};

use outcrop_release::{
    bundle::FrameTable,
    plan::{ActiveBlocks, BlockSet, PayloadFacts, PayloadPlan},
    slot::Slot,
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

/// Blocks of a stretch whose first one tells whether the others are looked at: 1 MiB.
const STRETCH_BLOCKS: usize = 256;
/// Blocks between two runs that are read along: skipping them would take as long.
const NEAR_BLOCKS: u64 = 16;

/// Adds a run behind the others, or to the last one when it is near.
fn add(runs: &mut Vec<Range<u64>>, run: Range<u64>, near: u64) {
    match runs.last_mut() {
        Some(last) if run.start - last.end <= near => last.end = run.end,
        _ => runs.push(run),
    }
}

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
        let (runs, salt) = (self.worth_comparing(tree, target)?, tree.salt());
        self.each_hash(target, runs, Reading::Lenient, salt, |number, hash| {
            self.watch.advance(Stage::Compare, BLOCK_BYTES as u64);
            if hash == leaves.get(number)? {
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
        self.each_hash(
            area,
            iter::once(0..blocks),
            Reading::Hint,
            salt,
            |number, hash| {
                let place = usize::try_from(number)
                    .ok()
                    .and_then(|number| hashes.get_mut(number));
                if let Some(place) = place {
                    *place = hash;
                }
                Ok(())
            },
        )?;
        Ok(hashes)
    }

    /// What the running slot's root has, by its tree. That is a hint: what is copied is compared with the new tree. A tree of
    /// another salt says nothing.
    pub(super) fn tree_of_running(&self, salt: &Salt) -> Result<ActiveBlocks, InstallError> {
        let leaves = self.leaves_of(self.running, salt);
        self.watch.checkpoint()?;
        Ok(leaves.map(ActiveBlocks::new).unwrap_or_default())
    }

    /// The leaves of a slot's tree as it is on the disk: nobody has proven them. None when there is no tree with this salt.
    fn leaves_of(&self, slot: Slot, salt: &Salt) -> Option<impl Iterator<Item = BlockHash>> {
        let area = Area::Verity(slot);
        let mut first = [0; BLOCK_BYTES];
        self.disk.read(area, 0, &mut first).ok()?;
        let superblock = Superblock::parse(&first).ok()?;
        let geometry = superblock.geometry;
        let is_there = geometry.partition_bytes() <= self.disk.bytes(area)
            && geometry.data_bytes() <= self.disk.bytes(Area::Root(slot));
        if superblock.salt != *salt || !is_there {
            return None;
        }
        let first_block = geometry.leaves_offset() / BLOCK_BYTES as u64;
        let last_block = geometry.partition_bytes() / BLOCK_BYTES as u64;
        let leaves = (first_block..last_block).flat_map(move |number| {
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
        Some(leaves.take(count))
    }

    /// Runs of blocks that may be in place. Where the slot has a whole tree, those that it says are the same; where it has none
    /// (nothing was ever written to it, or an installation was cut short), stretches whose first block is there already. What
    /// is left out is written, whatever it holds: that costs time, never safety.
    fn worth_comparing(&self, tree: Tree, target: Area) -> Result<Vec<Range<u64>>, InstallError> {
        let mut leaves = tree.leaves(self.scratch);
        let all = leaves.count();
        let Area::Root(slot) = target else {
            return Ok(vec![Range { start: 0, end: all }]); // as short as a boot payload is
        };
        let mut runs = Vec::new();
        if let Some(old) = self.leaves_of(slot, tree.salt()) {
            for (number, leaf) in (0..all).zip(old) {
                if leaf == leaves.get(number)? {
                    add(&mut runs, number..number + 1, NEAR_BLOCKS);
                }
            }
            return Ok(runs);
        }
        for first in (0..all).step_by(STRETCH_BLOCKS) {
            self.watch.checkpoint()?;
            let mut block = [0; BLOCK_BYTES];
            let read = self
                .disk
                .read_medium(target, first * BLOCK_BYTES as u64, &mut block);
            if read.is_ok() && hash_block(tree.salt(), &block) == leaves.get(first)? {
                add(&mut runs, first..all.min(first + STRETCH_BLOCKS as u64), 0);
            }
        }
        Ok(runs)
    }
}
