//! Writing a slot: what isn't in place, from the running slot or from the bundle, each block proven before.

use std::{collections::BTreeSet, iter, ops::Range};

use outcrop_release::{
    plan::{BlockSet, ByteRange, Source as Origin, coalesce},
    verity::{BLOCK_BYTES, hash_block},
};

use super::{
    copy::Batch,
    engine::{Installation, Part, Stage},
    error::InstallError,
    frames::{Cutter, Unpacker},
    reading::Reading,
    source::Source,
    trees::{Scratch, Tree},
};
use crate::disk::{Area, Disk};

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Writes a payload's blocks that aren't in place.
    pub(super) fn write_part(&mut self, part: &Part<'_>) -> Result<(), InstallError> {
        let mut fetched: Vec<usize> = Vec::new();
        let mut batch = Batch::default();
        for step in &part.planned.plan.steps {
            self.watch.checkpoint()?;
            let is_there = match &step.source {
                Origin::InPlace => true,
                Origin::Active(runs) => batch.read(self.disk, part, step.frame, runs),
                Origin::Bundle => false,
            };
            if !is_there {
                fetched.push(step.frame);
            }
            if batch.is_full() {
                fetched.extend(self.write_batch(part, &mut batch)?);
            }
        }
        fetched.extend(self.write_batch(part, &mut batch)?);
        fetched.sort_unstable();
        let mut unpacker = Unpacker::new(part.name)?;
        // What lies between two ranges is the source's to weigh: it knows what a request costs.
        let ranges: Vec<ByteRange> = coalesce(part.table, fetched.iter().copied(), 0)
            .into_iter()
            .map(|range| ByteRange {
                start: part.place.start + range.start,
                end: part.place.start + range.end,
            })
            .collect();
        self.source.announce(&ranges);
        let mut frames = fetched.into_iter().peekable();
        for range in ranges {
            let Some(&first) = frames.peek() else { break };
            let (disk, scratch, watch) = (&mut *self.disk, &*self.scratch, self.watch);
            let mut cutter = Cutter::new(part.table, first);
            let mut leaves = part.tree.leaves(scratch);
            self.source.read::<InstallError>(range, &mut |piece| {
                watch.checkpoint()?;
                cutter.push(piece, &mut |number, frame, bytes| {
                    if frames.next_if_eq(&number).is_none() {
                        return Ok(()); // it lies between two that are wanted
                    }
                    let blocks = unpacker.unpack(number, frame, bytes)?;
                    let (first, _) = part.table.start(number).unwrap_or_default();
                    let mut out = Writer::new(part);
                    for (block, at) in blocks.iter().zip(first..) {
                        if hash_block(part.tree.salt(), block) != leaves.get(at)? {
                            return Err(InstallError::Frame {
                                payload: part.name,
                                frame: number,
                                why: "a block doesn't match the hash tree",
                            });
                        }
                        out.put(disk, at, block)?;
                    }
                    watch.advance(Stage::Write, out.finish(disk)?);
                    Ok(())
                })
            })?;
        }
        Ok(())
    }

    /// Writes the blocks of the tree that differ, but for the superblock.
    pub(super) fn write_tree(&mut self, tree: Tree, area: Area) -> Result<(), InstallError> {
        let same = self.same(area, 1..tree.blocks(), |number| tree.block(self.scratch, number))?;
        for number in (1..tree.blocks()).filter(|number| !same.contains(number)) {
            self.watch.checkpoint()?;
            let block = tree.block(self.scratch, number)?;
            self.disk.write(area, number * BLOCK_BYTES as u64, &block)?;
        }
        Ok(())
    }

    /// Writes zeros behind the boot payload where there are none: what a longer one left.
    pub(super) fn clear_rest(&mut self, area: Area, blocks: u64) -> Result<(), InstallError> {
        let all = blocks..self.disk.bytes(area) / BLOCK_BYTES as u64;
        let same = self.same(area, all.clone(), |_| Ok([0; BLOCK_BYTES]))?;
        for number in all.filter(|number| !same.contains(number)) {
            self.watch.checkpoint()?;
            self.disk
                .write(area, number * BLOCK_BYTES as u64, &[0; BLOCK_BYTES])?;
        }
        Ok(())
    }

    /// Which blocks of an area are on the medium as they shall be.
    fn same(
        &self,
        area: Area,
        all: Range<u64>,
        wanted: impl Fn(u64) -> Result<[u8; BLOCK_BYTES], InstallError>,
    ) -> Result<BTreeSet<u64>, InstallError> {
        let mut same = BTreeSet::new();
        self.each_block(area, iter::once(all), Reading::Lenient, |number, block| {
            if *block == wanted(number)? {
                same.insert(number);
            }
            Ok(())
        })?;
        Ok(same)
    }
}

/// Puts neighbouring blocks together, so that they are written at once; those in place are left out.
pub(super) struct Writer<'a> {
    area: Area,
    in_place: &'a BlockSet,
    start: u64,
    bytes: Vec<u8>,
    written: u64,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(part: &Part<'a>) -> Self {
        Self {
            area: part.to,
            in_place: &part.planned.in_place,
            start: 0,
            bytes: Vec::new(),
            written: 0,
        }
    }

    pub(super) fn put(
        &mut self,
        disk: &mut impl Disk,
        number: u64,
        block: &[u8; BLOCK_BYTES],
    ) -> Result<(), InstallError> {
        if u32::try_from(number).is_ok_and(|number| self.in_place.contains(number)) {
            return Ok(());
        }
        let at = number * BLOCK_BYTES as u64;
        if self.start + self.bytes.len() as u64 != at {
            self.flush(disk)?;
            self.start = at;
        }
        self.bytes.extend_from_slice(block);
        Ok(())
    }

    fn flush(&mut self, disk: &mut impl Disk) -> Result<(), InstallError> {
        if !self.bytes.is_empty() {
            disk.write(self.area, self.start, &self.bytes)?;
            self.written += self.bytes.len() as u64;
            self.bytes.clear();
        }
        Ok(())
    }

    /// Writes what is left; how many bytes were written.
    pub(super) fn finish(mut self, disk: &mut impl Disk) -> Result<u64, InstallError> {
        self.flush(disk)?;
        Ok(self.written)
    }
}
