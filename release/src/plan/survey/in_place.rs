//! Which blocks of the inactive slot have the new content already.

use std::ops::Range;

use super::{Known, Leaves, Ledger, ProvenTree, Side, Survey, SurveyError, proven::first_leaf_block};
use crate::{
    plan::BlockSet,
    verity::{BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK},
};

/// Blocks of a stretch whose first one tells whether the others are looked at: 1 MiB.
const STRETCH_BLOCKS: u64 = 256;
/// Blocks between two runs that are read along: at 20 to 100 MB/s that takes as long as flash takes to answer another question.
const NEAR_BLOCKS: u64 = 4;

/// Adds a run behind the others, or to the last one when it is near.
fn add(runs: &mut Vec<Range<u64>>, run: Range<u64>, near: u64) {
    match runs.last_mut() {
        Some(last) if run.start - last.end <= near => last.end = run.end,
        _ => runs.push(run),
    }
}

fn insert(set: &mut BlockSet, number: u64) {
    // Numbers of blocks have 32 bits, or there would be no plan.
    if let Ok(number) = u32::try_from(number) {
        set.insert(number);
    }
}

impl<E: From<SurveyError>> Survey<'_, E> {
    /// The boot payload's, which is hashed already.
    pub(super) fn boot_in_place(&self, tree: &ProvenTree, known: &Known) -> Result<BlockSet, E> {
        let mut leaves = Leaves::new(tree, self.trees);
        let mut in_place = BlockSet::new();
        for (number, hash) in (0..).zip(known.boot_hashes(Side::Other)) {
            if number < leaves.count() && leaves.get(number)? == Some(*hash) {
                insert(&mut in_place, number);
            }
        }
        Ok(in_place)
    }

    /// The root's: where there is something to be found, blocks are read and compared.
    pub(super) fn root_in_place(&self, tree: &ProvenTree, ledger: &mut Ledger) -> Result<BlockSet, E> {
        let runs = match self.old_root(Side::Other)? {
            Some(_) => self.same_leaves(tree)?,
            None => self.promising_stretches(tree, ledger)?,
        };
        self.compare(tree, &runs, ledger)
    }

    /// Reads runs of blocks; those that have the new content.
    fn compare(&self, tree: &ProvenTree, runs: &[Range<u64>], ledger: &mut Ledger) -> Result<BlockSet, E> {
        ledger.read(runs.iter().map(|run| run.end - run.start).sum());
        let mut leaves = Leaves::new(tree, self.trees);
        let mut in_place = BlockSet::new();
        self.slots.root_hashes(runs, &mut |number, hash| {
            if leaves.get(number)? == Some(hash) {
                insert(&mut in_place, number);
            }
            Ok(())
        })?;
        Ok(in_place)
    }

    /// Runs of blocks that are the same by the slot's own tree. What is left out is written, whatever it holds: that costs
    /// time, never safety.
    fn same_leaves(&self, tree: &ProvenTree) -> Result<Vec<Range<u64>>, E> {
        let mut leaves = Leaves::new(tree, self.trees);
        let mut runs = Vec::new();
        let Some(old) = self.old_root(Side::Other)? else {
            return Ok(runs);
        };
        let all = leaves.count().min(old.data_blocks());
        for first in (0..all).step_by(BLOCK_BYTES / HASH_BYTES) {
            let number = first_leaf_block(old) + first / HASHES_PER_BLOCK;
            let Some(block) = self.slots.root_tree_block(Side::Other, number)? else {
                continue;
            };
            for (number, hash) in (first..all).zip(block.as_chunks::<HASH_BYTES>().0) {
                if leaves.get(number)? == Some(*hash) {
                    add(&mut runs, number..number + 1, NEAR_BLOCKS);
                }
            }
        }
        Ok(runs)
    }

    /// Where the slot has no tree (nothing was ever written to it, or an installation was cut short): stretches whose first block is
    /// there already.
    fn promising_stretches(&self, tree: &ProvenTree, ledger: &mut Ledger) -> Result<Vec<Range<u64>>, E> {
        let all = tree.geometry().data_blocks();
        let step = usize::try_from(STRETCH_BLOCKS).unwrap_or(usize::MAX);
        let probes: Vec<Range<u64>> = (0..all).step_by(step).map(|first| first..first + 1).collect();
        let found = self.compare(tree, &probes, ledger)?;
        let mut runs = Vec::new();
        for first in found.iter().map(u64::from) {
            add(&mut runs, first..all.min(first + STRETCH_BLOCKS), 0);
        }
        Ok(runs)
    }
}
