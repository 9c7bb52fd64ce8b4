//! Reading areas block by block: from the kernel's cache or from the medium, and what to do where that fails.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use outcrop_release::verity::{BLOCK_BYTES, BlockHash, Salt, hash_block};

use super::{engine::Watch, error::InstallError};
use crate::disk::{Area, Disk, DiskError};

/// Blocks that are read at a time: 1 MiB, for flash gives few of them at a time slowly.
const READ_BLOCKS: usize = 256;
/// Threads that hash, beside the one that reads.
const HASHERS: usize = 2;

/// Which bytes are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// Those that the kernel has; a block that can't be read is left out, for it is only a hint.
    Hint,
    /// Those that the medium has; a block that can't be read is left out: it will be written, which is how worn flash heals.
    Lenient,
    /// Those that the medium has.
    Medium,
}

impl Reading {
    fn read(self, disk: &impl Disk, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        match self {
            Self::Hint => disk.read(area, at, buffer),
            Self::Lenient | Self::Medium => disk.read_medium(area, at, buffer),
        }
    }
}

/// A block and its number.
type Numbered = (u64, [u8; BLOCK_BYTES]);

/// Hashes blocks. Most slots are empty at first, or end so: zeros are looked at, no more.
struct Hasher<'a> {
    salt: &'a Salt,
    zeros: BlockHash,
}

impl Hasher<'_> {
    fn hash(&self, piece: &[Numbered]) -> Vec<(u64, BlockHash)> {
        let hash = |(number, block): &Numbered| {
            let is_empty = *block == [0; BLOCK_BYTES];
            let hash = if is_empty {
                self.zeros
            } else {
                hash_block(self.salt, block)
            };
            (*number, hash)
        };
        piece.iter().map(hash).collect()
    }
}

/// The next piece; none when no more will come.
fn next(pieces: &Mutex<mpsc::Receiver<Vec<Numbered>>>) -> Option<Vec<Numbered>> {
    // A thread that panics holds no half of a piece.
    let pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
    pieces.recv().ok()
}

fn take_all(
    hashes: Vec<(u64, BlockHash)>,
    take: &mut impl FnMut(u64, BlockHash) -> Result<(), InstallError>,
) -> Result<(), InstallError> {
    hashes
        .into_iter()
        .try_for_each(|(number, hash)| take(number, hash))
}

/// Reads areas of a disk.
#[derive(Clone, Copy)]
pub(super) struct SlotReader<'a, D> {
    pub(super) disk: &'a D,
    pub(super) watch: &'a dyn Watch,
}

impl<D: Disk> SlotReader<'_, D> {
    /// Reads runs of an area's blocks and hands over each.
    pub(super) fn each_block(
        &self,
        area: Area,
        runs: impl IntoIterator<Item = Range<u64>>,
        reading: Reading,
        mut take: impl FnMut(u64, &[u8; BLOCK_BYTES]) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        let mut buffer = vec![[0; BLOCK_BYTES]; READ_BLOCKS];
        let pieces = runs
            .into_iter()
            .flat_map(|run| run.clone().step_by(READ_BLOCKS).map(move |first| first..run.end));
        for Range { start: first, end } in pieces {
            self.watch.checkpoint()?;
            let count = usize::try_from(end - first).map_or(READ_BLOCKS, |left| left.min(READ_BLOCKS));
            buffer.resize(count, [0; BLOCK_BYTES]);
            let piece = buffer.as_flattened_mut();
            let read = reading.read(self.disk, area, first * BLOCK_BYTES as u64, piece);
            match (read, reading) {
                (Ok(()), _) => {}
                (Err(_), Reading::Lenient | Reading::Hint) => {
                    self.each_readable(area, first..first + count as u64, reading, &mut take)?;
                    continue;
                }
                (Err(error), _) => return Err(error.into()),
            }
            for (block, number) in buffer.iter().zip(first..) {
                take(number, block)?;
            }
        }
        Ok(())
    }

    /// Reads runs of an area's blocks and hands over each one's hash. Pieces are hashed beside
    /// the reading, so they come in any order.
    pub(super) fn each_hash(
        &self,
        area: Area,
        runs: impl IntoIterator<Item = Range<u64>>,
        reading: Reading,
        salt: &Salt,
        mut take: impl FnMut(u64, BlockHash) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        let hasher = Hasher {
            salt,
            zeros: hash_block(salt, &[0; BLOCK_BYTES]),
        };
        thread::scope(|scope| {
            let (to_hashers, pieces) = mpsc::sync_channel::<Vec<Numbered>>(HASHERS);
            let (to_us, hashed) = mpsc::channel();
            let pieces = Arc::new(Mutex::new(pieces));
            for _ in 0..HASHERS {
                let (pieces, to_us, hasher) = (Arc::clone(&pieces), to_us.clone(), &hasher);
                scope.spawn(move || {
                    // It ends when no piece will come, or whoever asked has given up.
                    while let Some(mut piece) = next(&pieces) {
                        let hashes = hasher.hash(&piece);
                        piece.clear();
                        if to_us.send((piece, hashes)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop((to_us, pieces));
            let mut piece = Vec::with_capacity(READ_BLOCKS);
            self.each_block(area, runs, reading, |number, block| {
                piece.push((number, *block));
                if piece.len() < READ_BLOCKS {
                    return Ok(());
                }
                let full = std::mem::take(&mut piece);
                // They end only after us.
                let _ = to_hashers.send(full);
                while let Ok((empty, hashes)) = hashed.try_recv() {
                    piece = empty;
                    take_all(hashes, &mut take)?;
                }
                Ok(())
            })?;
            let _ = to_hashers.send(piece);
            drop(to_hashers);
            hashed
                .iter()
                .try_for_each(|(_, hashes)| take_all(hashes, &mut take))
        })
    }

    fn each_readable(
        &self,
        area: Area,
        numbers: Range<u64>,
        reading: Reading,
        take: &mut impl FnMut(u64, &[u8; BLOCK_BYTES]) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        for number in numbers {
            let mut block = [0; BLOCK_BYTES];
            let at = number * BLOCK_BYTES as u64;
            if reading.read(self.disk, area, at, &mut block).is_ok() {
                take(number, &block)?;
            }
        }
        Ok(())
    }
}
