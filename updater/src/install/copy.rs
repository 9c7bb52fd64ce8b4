//! Copying blocks of the running slot: many at a time, so that hashing them is shared between threads.

use std::{panic, thread};

use outcrop_release::{
    plan::{BlockSet, CopyRun, survey::Leaves},
    verity::{BLOCK_BYTES, BlockHash, Salt, hash_block},
};

use super::{
    engine::{Installation, Part, Stage},
    error::InstallError,
    scratch::Scratch,
    sides::Kept,
    source::Source,
    write::Writer,
};
use crate::disk::Disk;

/// Blocks that are read at a time: 1 MiB.
const PIECE_BLOCKS: u32 = 256;
/// Blocks of a run that is read as a row of them: what the kernel reads along with anything, 128 KiB.
const LONG_BLOCKS: u32 = 32;
/// Blocks after which a batch is written: 2 MiB.
const FULL_BLOCKS: usize = 512;
/// Fewer blocks aren't worth a thread.
const SHARED_BLOCKS: usize = 32;

/// Blocks that have been read from the running slot.
#[derive(Default)]
struct Batch {
    blocks: Vec<[u8; BLOCK_BYTES]>,
    /// Where each block goes.
    numbers: Vec<u32>,
}

impl Batch {
    /// Whether it shall be written before more is read.
    const fn is_full(&self) -> bool {
        self.blocks.len() >= FULL_BLOCKS
    }

    /// Reads a piece of a run; false when it can't be read.
    fn read(&mut self, disk: &impl Disk, part: &Part<'_>, piece: &CopyRun) -> bool {
        let start = self.blocks.len();
        self.blocks
            .resize(start + piece.blocks as usize, [0; BLOCK_BYTES]);
        let at = u64::from(piece.from) * BLOCK_BYTES as u64;
        let room = self.blocks.get_mut(start..).unwrap_or_default();
        let room = room.as_flattened_mut();
        // What follows a short run belongs to something else.
        let read = match piece.blocks < LONG_BLOCKS {
            true => disk.read_scattered(part.from, at, room),
            false => disk.read(part.from, at, room),
        };
        if read.is_err() {
            self.blocks.truncate(start);
            return false;
        }
        self.numbers.extend((piece.to..).take(piece.blocks as usize));
        true
    }

    fn clear(&mut self) {
        self.blocks.clear();
        self.numbers.clear();
    }
}

/// A run, cut into pieces of `blocks` blocks.
fn pieces(run: CopyRun, blocks: u32) -> impl Iterator<Item = CopyRun> {
    (0..run.blocks).step_by(blocks as usize).map(move |done| CopyRun {
        to: run.to + done,
        from: run.from + done,
        blocks: blocks.min(run.blocks - done),
    })
}

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Copies what a payload's plan has copied. Returns the blocks that the running slot hasn't got after all, or can't give: that
    /// is no reason to give up, for the bundle has them.
    pub(super) fn copy_part(&mut self, part: &Part<'_>) -> Result<BlockSet, InstallError> {
        let mut failed = BlockSet::new();
        let mut batch = Batch::default();
        for piece in part
            .planned
            .plan
            .copies
            .iter()
            .flat_map(|run| pieces(*run, PIECE_BLOCKS))
        {
            self.watch.checkpoint()?;
            if !batch.read(self.disk, part, &piece) {
                for block in pieces(piece, 1) {
                    if !batch.read(self.disk, part, &block) {
                        failed.insert(block.to);
                    }
                }
            }
            if batch.is_full() {
                self.write_batch(part, &mut batch, &mut failed)?;
            }
        }
        self.write_batch(part, &mut batch, &mut failed)?;
        Ok(failed)
    }

    /// Writes a batch's blocks, and empties it. Those that aren't what the running slot's tree said are added to `failed`.
    fn write_batch(
        &mut self,
        part: &Part<'_>,
        batch: &mut Batch,
        failed: &mut BlockSet,
    ) -> Result<(), InstallError> {
        let hashes = hash_blocks(&part.manifest.verity.salt, &batch.blocks);
        let kept = Kept::new(&*self.scratch, part.manifest)?;
        let mut leaves = Leaves::new(&part.tree, &kept);
        let mut out = Writer::new(part.to);
        for ((number, block), hash) in batch.numbers.iter().zip(&batch.blocks).zip(hashes) {
            if leaves.get((*number).into())? == Some(hash) {
                out.put(self.disk, (*number).into(), block)?;
            } else {
                failed.insert(*number);
            }
        }
        self.watch.advance(Stage::Write, out.finish(self.disk)?);
        batch.clear();
        Ok(())
    }
}

/// The hash of each block, half of them by another thread.
pub(super) fn hash_blocks(salt: &Salt, blocks: &[[u8; BLOCK_BYTES]]) -> Vec<BlockHash> {
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
