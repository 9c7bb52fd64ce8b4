//! Reading areas block by block: from the kernel's cache or from the medium, and what to do where that fails.

use std::ops::Range;

use outcrop_release::verity::BLOCK_BYTES;

use super::{engine::Installation, error::InstallError, source::Source, trees::Scratch};
use crate::disk::{Area, Disk, DiskError};

/// Blocks that are read at a time.
const READ_BLOCKS: usize = 32;

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

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Reads the first `blocks` blocks of an area and hands over each.
    pub(super) fn each_block(
        &self,
        area: Area,
        blocks: u64,
        reading: Reading,
        mut take: impl FnMut(u64, &[u8; BLOCK_BYTES]) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        let mut buffer = vec![[0; BLOCK_BYTES]; READ_BLOCKS];
        for first in (0..blocks).step_by(READ_BLOCKS) {
            self.watch.checkpoint()?;
            let count = usize::try_from(blocks - first).map_or(READ_BLOCKS, |left| left.min(READ_BLOCKS));
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
