//! Reading a written slot back from the medium, and proving all of it.

use std::{iter, ops::Range};

use outcrop_release::{
    bootrec::{Payload, PayloadPart},
    plan::survey::Leaves,
    slot::Slot,
    verity::{BLOCK_BYTES, TreeVerifier, hash_block},
};

use super::{
    engine::{Installation, Part, Stage},
    error::InstallError,
    reading::Reading,
    scratch::Scratch,
    sides::Kept,
    source::Source,
};
use crate::disk::{Area, Disk};

/// Blocks between two runs that are read along: at 20 to 100 MB/s that takes as long as flash takes to answer another question.
pub(super) const NEAR_BLOCKS: u32 = 4;

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Reads from the medium what was written of a payload, and compares it with the tree. With what this run found there before, that is
    /// every block: none is believed that wasn't read.
    pub(super) fn check_part(&self, part: &Part<'_>) -> Result<(), InstallError> {
        let kept = Kept::new(&*self.scratch, part.manifest)?;
        let mut leaves = Leaves::new(&part.tree, &kept);
        let area = part.to;
        // Numbers of blocks have 32 bits, or there would be no plan.
        let end = u32::try_from(leaves.count()).unwrap_or(u32::MAX);
        let written = part.on_medium.runs_outside(end, NEAR_BLOCKS);
        let runs = written.map(|run| run.start.into()..run.end.into());
        let salt = &part.manifest.verity.salt;
        let is_read = |number: u64| u32::try_from(number).is_ok_and(|number| part.on_medium.contains(number));
        self.watch
            .advance(Stage::Check, part.on_medium.len() * BLOCK_BYTES as u64);
        self.reader()
            .each_hash(area, runs, Reading::Medium, salt, |number, hash| {
                if !is_read(number) {
                    self.watch.advance(Stage::Check, BLOCK_BYTES as u64);
                }
                if leaves.get(number)? == Some(hash) {
                    Ok(())
                } else {
                    Err(InstallError::Medium { area, block: number })
                }
            })
    }

    /// The same for the boot payload, and what the boot record says of it. Its sum takes all blocks, so that all are read.
    pub(super) fn check_boot(&self, part: &Part<'_>, slot: Slot) -> Result<Payload, InstallError> {
        match self.disk.boot_parts(slot) {
            Ok(None) => self.check_and_sum(part),
            found => {
                self.check_part(part)?;
                Ok(found?.unwrap_or_default())
            }
        }
    }

    fn check_and_sum(&self, part: &Part<'_>) -> Result<Payload, InstallError> {
        let kept = Kept::new(&*self.scratch, part.manifest)?;
        let mut leaves = Leaves::new(&part.tree, &kept);
        let (area, salt, blocks) = (part.to, &part.manifest.verity.salt, leaves.count());
        let mut sum = crc32fast::Hasher::new();
        self.reader()
            .each_block(area, iter::once(0..blocks), Reading::Medium, |number, block| {
                self.watch.advance(Stage::Check, BLOCK_BYTES as u64);
                sum.update(block);
                if leaves.get(number)? == Some(hash_block(salt, block)) {
                    Ok(())
                } else {
                    Err(InstallError::Medium { area, block: number })
                }
            })?;
        let kernel = PayloadPart {
            // Its slot is far smaller.
            len: u32::try_from(blocks * BLOCK_BYTES as u64).unwrap_or(0),
            crc32: sum.finalize(),
        };
        Ok(Payload {
            kernel,
            ..Payload::default()
        })
    }

    /// Proves the tree on the medium from the root hash down: what was kept meanwhile isn't believed.
    pub(super) fn check_tree(&self, part: &Part<'_>, area: Area) -> Result<(), InstallError> {
        let geometry = part.tree.geometry();
        let mut verifier = TreeVerifier::new(geometry, part.manifest.root.root_hash);
        let superblock = part.superblock();
        self.reader().each_block(
            area,
            iter::once(0..geometry.partition_bytes() / BLOCK_BYTES as u64),
            Reading::Medium,
            |number, block| {
                let block = if number == 0 { &superblock } else { block };
                let proven = verifier.push(block);
                proven
                    .map(drop)
                    .map_err(|_| InstallError::Medium { area, block: number })
            },
        )
    }

    /// What was cleared behind the boot payload is zero.
    pub(super) fn check_rest(&self, area: Area, cleared: &[Range<u64>]) -> Result<(), InstallError> {
        self.reader()
            .each_block(area, cleared.iter().cloned(), Reading::Medium, |number, block| {
                if *block == [0; BLOCK_BYTES] {
                    Ok(())
                } else {
                    Err(InstallError::Medium { area, block: number })
                }
            })
    }
}
