//! Copying blocks of the running slot: many frames at a time, so that hashing them is shared between threads.

use std::{ops::Range, panic, thread};

use outcrop_release::{
    plan::CopyRun,
    verity::{BLOCK_BYTES, BlockHash, Salt, hash_block},
};

use super::{
    engine::{Installation, Part, Stage},
    error::InstallError,
    source::Source,
    trees::Scratch,
    write::Writer,
};
use crate::disk::Disk;

/// Blocks after which a batch is written: 2 MiB.
const FULL_BLOCKS: usize = 512;
/// Fewer blocks aren't worth a thread.
const SHARED_BLOCKS: usize = 32;

/// Frames whose blocks have been read from the running slot.
#[derive(Default)]
pub(super) struct Batch {
    blocks: Vec<[u8; BLOCK_BYTES]>,
    /// Where each block goes.
    numbers: Vec<u64>,
    /// Each frame's number, and its blocks' places in `blocks`.
    frames: Vec<(usize, Range<usize>)>,
}

impl Batch {
    /// Whether it shall be written before more is read.
    pub(super) const fn is_full(&self) -> bool {
        self.blocks.len() >= FULL_BLOCKS
    }

    /// Reads a frame's blocks. False when one of them can't be read: that is no reason to give up, for the bundle has it.
    pub(super) fn read(&mut self, disk: &impl Disk, part: &Part<'_>, frame: usize, runs: &[CopyRun]) -> bool {
        let before = self.blocks.len();
        for run in runs {
            let start = self.blocks.len();
            self.blocks.resize(start + run.blocks as usize, [0; BLOCK_BYTES]);
            let at = u64::from(run.from) * BLOCK_BYTES as u64;
            let room = self.blocks.get_mut(start..).unwrap_or_default();
            if disk.read(part.from, at, room.as_flattened_mut()).is_err() {
                self.blocks.truncate(before);
                self.numbers.truncate(before);
                return false;
            }
            self.numbers
                .extend((u64::from(run.to)..).take(run.blocks as usize));
        }
        self.frames.push((frame, before..self.blocks.len()));
        true
    }

    fn clear(&mut self) {
        self.blocks.clear();
        self.numbers.clear();
        self.frames.clear();
    }
}

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Writes the frames of a batch, and empties it. Returns those with a block that isn't what the running slot's tree said: they have
    /// to be fetched.
    pub(super) fn write_batch(
        &mut self,
        part: &Part<'_>,
        batch: &mut Batch,
    ) -> Result<Vec<usize>, InstallError> {
        let hashes = hash_blocks(part.tree.salt(), &batch.blocks);
        let mut leaves = part.tree.leaves(self.scratch);
        let mut out = Writer::new(part);
        let mut others = Vec::new();
        for (frame, places) in batch.frames.drain(..) {
            let numbers = batch.numbers.get(places.clone()).unwrap_or_default();
            let found = hashes.get(places.clone()).unwrap_or_default();
            let mut is_proven = found.len() == numbers.len();
            for (number, hash) in numbers.iter().zip(found) {
                is_proven &= leaves.get(*number)? == *hash;
            }
            if !is_proven {
                others.push(frame);
                continue;
            }
            let blocks = batch.blocks.get(places).unwrap_or_default();
            for (number, block) in numbers.iter().zip(blocks) {
                out.put(self.disk, *number, block)?;
            }
        }
        self.watch.advance(Stage::Write, out.finish(self.disk)?);
        batch.clear();
        Ok(others)
    }
}

/// The hash of each block, half of them by another thread.
fn hash_blocks(salt: &Salt, blocks: &[[u8; BLOCK_BYTES]]) -> Vec<BlockHash> {
    let hash = |blocks: &[[u8; BLOCK_BYTES]]| -> Vec<BlockHash> {
        blocks.iter().map(|block| hash_block(salt, block)).collect()
    };
    if blocks.len() < SHARED_BLOCKS {
        return hash(blocks);
    }
    let (ours, theirs) = blocks.split_at(blocks.len() / 2);
    thread::scope(|scope| {
        let theirs = scope.spawn(|| hash(theirs));
        let mut hashes = hash(ours);
        hashes.extend(
            theirs
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload)),
        );
        hashes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_hashed_in_order_however_many_there_are() {
        let salt = Salt::from_bytes([7; 32]);
        for count in [0, 1, SHARED_BLOCKS - 1, SHARED_BLOCKS, 101] {
            let blocks: Vec<_> = (0..count)
                .map(|number| [u8::try_from(number).unwrap(); BLOCK_BYTES])
                .collect();
            let wanted: Vec<_> = blocks.iter().map(|block| hash_block(&salt, block)).collect();
            assert_eq!(hash_blocks(&salt, &blocks), wanted, "{count}");
        }
    }
}
