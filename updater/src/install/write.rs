//! Writing a slot: what isn't in place, from the running slot or from the bundle, each block proven before.

use std::{collections::BTreeSet, iter, ops::Range};

use outcrop_release::{
    bootrec::Payload,
    bundle::{PayloadName, PlacedFrame},
    plan::{
        BlockSet, ByteRange, Cost, joined,
        survey::{Leaves, TreeStore as _},
    },
    verity::BLOCK_BYTES,
};

use super::{
    copy::hash_blocks,
    engine::{Installation, Part, Prepared, Stage},
    error::InstallError,
    frames::{Cutter, Unpacker},
    patch::joined_numbers,
    reading::Reading,
    scratch::Scratch,
    sides::Kept,
    source::Source,
};
use crate::disk::{Area, Disk};

/// Which blocks of the frames are written.
type IsWanted<'a> = &'a dyn Fn(u32) -> bool;

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Writes a payload's blocks that aren't in place. A frame is unpacked behind the blocks before it, so frames come last, in
    /// their order, together with those of blocks that turned out to be nowhere else.
    pub(super) fn write_part(
        &mut self,
        prepared: &Prepared<'_>,
        part: &mut Part<'_>,
        spent: &mut Cost,
    ) -> Result<(), InstallError> {
        let mut late = self.copy_part(part)?;
        self.patch_part(part)?.iter().for_each(|block| late.insert(block));
        late.iter().for_each(|block| part.on_medium.remove(block));
        let frames = self.all_frames(prepared, part, &late, spent)?;
        let planned = part.planned;
        let is_wanted = |block| {
            let is_elsewhere = planned.in_place.contains(block) || planned.plan.deferred.contains(block);
            !is_elsewhere || late.contains(block)
        };
        self.write_frames(part, &frames, &is_wanted)
    }

    /// The planned frames, and those of blocks that only the bundle turned out to have, which are looked up now. What they cost more is
    /// told, and held against the budget.
    fn all_frames(
        &mut self,
        prepared: &Prepared<'_>,
        part: &mut Part<'_>,
        late: &BlockSet,
        spent: &mut Cost,
    ) -> Result<Vec<PlacedFrame>, InstallError> {
        let mut frames = part.planned.plan.frames.clone();
        if !late.is_empty() {
            let before = spent.fetch.total();
            let more = self.survey(prepared.manifest(), prepared.layout, self.budget, |mut survey| {
                survey.late_frames(
                    prepared.surveyed.top.as_ref(),
                    &mut part.tree,
                    late,
                    &frames,
                    spent,
                )
            })?;
            self.watch
                .replaced(part.from, late.len(), spent.fetch.total() - before);
            frames.extend(more);
            frames.sort_unstable_by_key(|frame| frame.number);
            frames.dedup_by_key(|frame| frame.number);
        }
        Ok(frames)
    }

    /// Fetches frames, ascending, and writes those of their blocks that are wanted.
    fn write_frames(
        &mut self,
        part: &Part<'_>,
        frames: &[PlacedFrame],
        is_wanted: IsWanted<'_>,
    ) -> Result<(), InstallError> {
        let mut unpacker = Unpacker::new(part.payload.member());
        let range = |frame: &PlacedFrame| part.place.range(frame.start, frame.end());
        // What lies between two ranges is the source's to weigh.
        let ranges: Vec<ByteRange> = joined(frames.iter().map(range));
        self.source.announce(&ranges);
        let kept = Kept::new(&*self.scratch, part.manifest)?;
        let (disk, watch) = (&mut *self.disk, self.watch);
        let mut cutter = Cutter::new(frames);
        let mut leaves = Leaves::new(&part.tree, &kept);
        for range in ranges {
            self.source.read::<InstallError>(range, &mut |piece| {
                watch.checkpoint()?;
                cutter.push(piece, &mut |frame, bytes| {
                    let read_back = |at, room: &mut [u8]| Ok(disk.read(part.to, at, room)?);
                    let blocks = unpacker.unpack(frame, bytes, &read_back)?;
                    let mut out = Writer::new(part.to);
                    let hashes = hash_blocks(&part.manifest.verity.salt, blocks);
                    for ((block, hash), at) in blocks.iter().zip(hashes).zip(frame.first..) {
                        let leaf = leaves.get(at)?;
                        if leaf.is_some_and(|leaf| leaf != hash) {
                            return Err(unpacker_damage(part, frame));
                        }
                        if leaf.is_some() && u32::try_from(at).is_ok_and(is_wanted) {
                            out.put(disk, at, block)?;
                        }
                    }
                    watch.advance(Stage::Write, out.finish(disk)?);
                    Ok(())
                })
            })?;
        }
        Ok(())
    }

    /// Writes the blocks of the root's tree that differ, but for the superblock.
    pub(super) fn write_tree(&mut self, part: &Part<'_>, area: Area) -> Result<(), InstallError> {
        let kept = Kept::new(&*self.scratch, part.manifest)?;
        let all = 1..part.tree.geometry().partition_bytes() / BLOCK_BYTES as u64;
        let same = self.same(area, all.clone(), |number| kept.kept(PayloadName::Root, number))?;
        for number in all.filter(|number| !same.contains(number)) {
            self.watch.checkpoint()?;
            let block = kept.kept(PayloadName::Root, number)?;
            self.disk.write(area, number * BLOCK_BYTES as u64, &block)?;
        }
        Ok(())
    }

    /// Writes zeros behind the boot payload where there are none: what a longer one left. Where that was.
    ///
    /// Of a slot that held a release, the record knows where its payload ended, and zeros up to the area's end were there before it said so:
    /// they aren't read again. Before a slot's first byte changes the record forgets what it held, so after a power cut all is read.
    pub(super) fn clear_rest(
        &mut self,
        area: Area,
        blocks: u64,
        held: &Payload,
    ) -> Result<Vec<Range<u64>>, InstallError> {
        let end = self.disk.bytes(area) / BLOCK_BYTES as u64;
        let used = held
            .uki_bytes()
            .map_or(end, |bytes| bytes.div_ceil(BLOCK_BYTES as u64).min(end));
        let all = blocks..used.max(blocks);
        let same = self.same(area, all.clone(), |_| Ok([0; BLOCK_BYTES]))?;
        let cleared = joined_numbers(all.filter(|number| !same.contains(number)));
        for number in cleared.iter().cloned().flatten() {
            self.watch.checkpoint()?;
            self.disk
                .write(area, number * BLOCK_BYTES as u64, &[0; BLOCK_BYTES])?;
        }
        Ok(cleared)
    }

    /// Which blocks of an area are on the medium as they shall be.
    fn same(
        &self,
        area: Area,
        all: Range<u64>,
        wanted: impl Fn(u64) -> Result<[u8; BLOCK_BYTES], InstallError>,
    ) -> Result<BTreeSet<u64>, InstallError> {
        let mut same = BTreeSet::new();
        self.reader()
            .each_block(area, iter::once(all), Reading::Lenient, |number, block| {
                if *block == wanted(number)? {
                    same.insert(number);
                }
                Ok(())
            })?;
        Ok(same)
    }
}

fn unpacker_damage(part: &Part<'_>, frame: &PlacedFrame) -> InstallError {
    InstallError::Frame {
        payload: part.payload.member(),
        frame: frame.number,
        why: "a block doesn't match the hash tree",
    }
}

/// Puts neighbouring blocks together, so that they are written at once.
pub(super) struct Writer {
    area: Area,
    start: u64,
    bytes: Vec<u8>,
    written: u64,
}

impl Writer {
    pub(super) const fn new(area: Area) -> Self {
        Self {
            area,
            start: 0,
            bytes: Vec::new(),
            written: 0,
        }
    }

    /// Takes a block that was proven.
    pub(super) fn put(
        &mut self,
        disk: &mut impl Disk,
        number: u64,
        block: &[u8; BLOCK_BYTES],
    ) -> Result<(), InstallError> {
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
