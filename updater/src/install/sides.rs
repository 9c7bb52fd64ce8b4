//! What a survey asks, answered by the bundle's source, the disk and the scratch.

use std::{iter, ops::Range};

use outcrop_release::{
    bundle::PayloadName,
    manifest::{Manifest, VerityParameters},
    plan::{
        ByteRange,
        survey::{Block, Bundle, Side, Slots, TakePart, TreeStore, geometry},
    },
    slot::Slot,
    verity::{BLOCK_BYTES, BlockHash, HASH_BYTES, Superblock},
};

use super::{
    engine::{Stage, Watch},
    error::InstallError,
    reading::{Reading, SlotReader},
    scratch::Scratch,
    source::{Source, fetch},
};
use crate::disk::{Area, Disk};

/// The bundle, wherever it is.
pub(super) struct FromSource<'a, S> {
    pub(super) source: &'a mut S,
    pub(super) watch: &'a dyn Watch,
}

impl<S: Source> Bundle<InstallError> for FromSource<'_, S> {
    fn fetch(&mut self, ranges: &[ByteRange], take: TakePart<'_, InstallError>) -> Result<(), InstallError> {
        self.source.announce(ranges);
        for (place, range) in ranges.iter().enumerate() {
            self.watch.checkpoint()?;
            let bytes = fetch::<InstallError>(self.source, *range)?;
            take(place, &bytes)?;
        }
        Ok(())
    }
}

/// Both slots of a disk.
pub(super) struct BothSlots<'a, D> {
    pub(super) reader: SlotReader<'a, D>,
    pub(super) running: Slot,
    pub(super) verity: VerityParameters,
}

impl<D> BothSlots<'_, D> {
    const fn slot(&self, side: Side) -> Slot {
        match side {
            Side::Running => self.running,
            Side::Other => self.running.other(),
        }
    }
}

impl<D: Disk> Slots<InstallError> for BothSlots<'_, D> {
    fn boot_hashes(&self, side: Side, blocks: u64) -> Result<Vec<BlockHash>, InstallError> {
        let area = Area::Boot(self.slot(side));
        let reading = match side {
            Side::Running => Reading::Hint,
            // What is in place must be on the medium.
            Side::Other => Reading::Lenient,
        };
        let blocks = blocks.min(self.reader.disk.bytes(area) / BLOCK_BYTES as u64);
        // No block has this hash.
        let mut hashes = vec![[0; HASH_BYTES]; usize::try_from(blocks).unwrap_or_default()];
        let (runs, salt) = (iter::once(0..blocks), &self.verity.salt);
        self.reader.each_hash(area, runs, reading, salt, |number, hash| {
            self.reader.watch.advance(Stage::Compare, BLOCK_BYTES as u64);
            let place = usize::try_from(number).ok();
            if let Some(place) = place.and_then(|number| hashes.get_mut(number)) {
                *place = hash;
            }
            Ok(())
        })?;
        Ok(hashes)
    }

    fn root_superblock(&self, side: Side) -> Result<Option<Superblock>, InstallError> {
        let disk = self.reader.disk;
        let (tree, data) = (Area::Verity(self.slot(side)), Area::Root(self.slot(side)));
        let superblock = self
            .root_tree_block(side, 0)?
            .and_then(|block| Superblock::parse(&block).ok());
        Ok(superblock.filter(|superblock| {
            let geometry = superblock.geometry;
            geometry.partition_bytes() <= disk.bytes(tree) && geometry.data_bytes() <= disk.bytes(data)
        }))
    }

    fn root_tree_block(&self, side: Side, number: u64) -> Result<Option<Block>, InstallError> {
        self.reader.watch.checkpoint()?;
        let mut block = [0; BLOCK_BYTES];
        let area = Area::Verity(self.slot(side));
        let read = self
            .reader
            .disk
            .read(area, number * BLOCK_BYTES as u64, &mut block);
        Ok(read.is_ok().then_some(block))
    }

    fn root_hashes(
        &self,
        runs: &[Range<u64>],
        take: &mut dyn FnMut(u64, BlockHash) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        let (area, runs) = (Area::Root(self.running.other()), runs.iter().cloned());
        let salt = &self.verity.salt;
        self.reader
            .each_hash(area, runs, Reading::Lenient, salt, |number, hash| {
                self.reader.watch.advance(Stage::Compare, BLOCK_BYTES as u64);
                take(number, hash)
            })
    }
}

/// The new trees in the scratch: the boot payload's, then the root's, each with room for a superblock.
pub(super) struct Kept<'a, C> {
    scratch: &'a C,
    /// Length of the boot payload's.
    boot: u64,
    /// Of both.
    all: u64,
}

impl<'a, C> Kept<'a, C> {
    pub(super) fn new(scratch: &'a C, manifest: &Manifest) -> Result<Self, InstallError> {
        let boot = geometry(&manifest.boot)?.partition_bytes();
        Ok(Self {
            scratch,
            boot,
            all: boot + geometry(&manifest.root)?.partition_bytes(),
        })
    }

    /// The byte of the scratch behind both trees.
    pub(super) const fn end(&self) -> u64 {
        self.all
    }

    const fn at(&self, payload: PayloadName, number: u64) -> u64 {
        let before = match payload {
            PayloadName::Boot => 0,
            PayloadName::Root => self.boot,
        };
        before + number * BLOCK_BYTES as u64
    }

    const fn failed(&self) -> impl Fn(std::io::Error) -> InstallError {
        let bytes = self.all;
        move |source| InstallError::Scratch { bytes, source }
    }
}

impl<C: Scratch> TreeStore<InstallError> for Kept<'_, C> {
    fn keep(&mut self, payload: PayloadName, number: u64, block: &Block) -> Result<(), InstallError> {
        let kept = self.scratch.write(self.at(payload, number), block);
        kept.map_err(self.failed())
    }

    fn kept(&self, payload: PayloadName, number: u64) -> Result<Block, InstallError> {
        let mut block = [0; BLOCK_BYTES];
        let read = self.scratch.read(self.at(payload, number), &mut block);
        read.map_err(self.failed())?;
        Ok(block)
    }
}
