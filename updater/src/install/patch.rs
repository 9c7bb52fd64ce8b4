//! Patching: groups of blocks made from what runs and from the frames of a delta, each proven before it is written.

use std::{
    io::{self, Read},
    ops::Range,
    thread::{self, Scope},
};

use outcrop_release::{
    bundle::PayloadName,
    delta::{FrameStreams, GROUP_BLOCKS, OldBytes, PatchFrame, Patcher, PayloadDelta, SpanSource},
    digest::FileDigest,
    plan::{
        BlockSet, ByteRange,
        survey::{Patches, ProvenTree, TreeStore as _},
    },
    verity::{BLOCK_BYTES, BlockHash, HASH_BYTES, hash_block},
};

use super::{
    ahead::Ahead,
    copy::hash_blocks,
    engine::{Installation, Part, Stage},
    error::InstallError,
    old_area::{OldArea, Windows},
    reading::Reading,
    scratch::Scratch,
    sides::Kept,
    source::{Source, SourceError, fetch},
    write::Writer,
};
use crate::disk::Disk;

pub(super) type Block = [u8; BLOCK_BYTES];

/// A frame that is being unpacked: its streams, as long as they give what they should, and old bytes.
struct Unpacking<'b> {
    windows: Windows,
    patcher: Option<Patcher<Box<dyn Read + Send + 'b>>>,
}

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Writes the groups of a payload that a delta makes. Returns the blocks of those that it didn't make after all: the running slot is
    /// worn, or the delta isn't what it says. The bundle has them.
    pub(super) fn patch_part(&mut self, part: &mut Part<'_>) -> Result<BlockSet, InstallError> {
        let patches = &part.planned.patches;
        let mut failed = BlockSet::new();
        match patches {
            Patches::None => {}
            Patches::Packed => self.pack_part(part)?,
            Patches::Bare => self.bare_part(part)?,
            Patches::Frames(numbers) => {
                let frames = self.delta_of(part.payload).map_or_else(Vec::new, |delta| {
                    let all: Vec<_> = delta.frames.iter().copied().zip(delta.ranges()).collect();
                    numbers
                        .iter()
                        .filter_map(|number| all.get(*number).copied())
                        .collect()
                });
                let before = self.bytes_before(part.payload);
                self.announce(&frames, before);
                for (frame, range) in frames {
                    if let Some(bytes) = self.frame(&frame.streams, &frame.sha256, shifted(range, before))? {
                        self.patch_frame(part, &frame, &bytes)?;
                    }
                }
            }
        }
        // What is still unknown wasn't made.
        let unknown: Vec<u32> = part.tree.unknown().iter().collect();
        for number in unknown {
            let (first, end) = group_of(&part.tree, number);
            (first..end).for_each(|block| failed.insert(block));
        }
        Ok(failed)
    }

    fn delta_of(&self, payload: PayloadName) -> Option<&PayloadDelta> {
        let index = &self.delta.as_deref()?.index;
        Some(match payload {
            PayloadName::Boot => &index.boot,
            PayloadName::Root => &index.root,
        })
    }

    /// Length of the old payload, in bytes: the delta's steps lead nowhere else.
    fn old_bytes(&self, payload: PayloadName) -> u64 {
        let old = self
            .delta
            .as_deref()
            .and_then(|delta| delta.manifest.from.as_ref());
        old.map_or(0, |old| match payload {
            PayloadName::Boot => old.boot.bytes,
            PayloadName::Root => old.root.bytes,
        })
    }

    /// Bytes of the delta's frames that lie before those of a payload.
    fn bytes_before(&self, payload: PayloadName) -> u64 {
        let index = self.delta.as_deref().map(|delta| &delta.index);
        match payload {
            PayloadName::Root => 0,
            PayloadName::Boot => index.map_or(0, |index| index.root.bytes()),
        }
    }

    fn announce(&mut self, frames: &[(PatchFrame, ByteRange)], before: u64) {
        let Some(delta) = self.delta.as_deref_mut() else {
            return;
        };
        let place = delta.data;
        let ranges: Vec<ByteRange> = frames
            .iter()
            .map(|(_, range)| place.range(before + range.start, before + range.end))
            .collect();
        match &mut delta.file {
            Some(file) => file.announce(&ranges),
            None => self.source.announce(&ranges),
        }
    }

    /// The bytes of a frame; none when they can't be had, or aren't those that were signed.
    pub(super) fn frame(
        &mut self,
        streams: &FrameStreams,
        sha256: &FileDigest,
        range: ByteRange,
    ) -> Result<Option<Vec<u8>>, InstallError> {
        self.watch.checkpoint()?;
        let Some(delta) = self.delta.as_deref_mut() else {
            return Ok(None);
        };
        let range = delta.data.range(range.start, range.end);
        let read = match &mut delta.file {
            Some(file) => fetch::<SourceError>(file, range),
            None => fetch::<SourceError>(self.source, range),
        };
        match read {
            Ok(bytes) => {
                let is_whole = streams.total().map(u64::from) == Some(bytes.len() as u64);
                Ok(Some(bytes).filter(|bytes| is_whole && FileDigest::of(bytes) == *sha256))
            }
            Err(SourceError::Interrupted) => Err(SourceError::Interrupted.into()),
            Err(_) => Ok(None),
        }
    }

    /// Writes the groups of a frame that come out as they should.
    fn patch_frame(
        &mut self,
        part: &mut Part<'_>,
        frame: &PatchFrame,
        bytes: &[u8],
    ) -> Result<(), InstallError> {
        let old_len = self.old_bytes(part.payload);
        thread::scope(|scope| {
            let streams = streams_ahead(scope, &frame.streams, bytes);
            let patcher = streams
                .ok()
                .map(|streams| Patcher::new(streams, frame.streams.code, old_len));
            let windows = Windows::default();
            self.patch_groups(part, frame, Unpacking { windows, patcher })
        })
    }

    fn patch_groups(
        &mut self,
        part: &mut Part<'_>,
        frame: &PatchFrame,
        mut unpacking: Unpacking<'_>,
    ) -> Result<(), InstallError> {
        for group in frame.first_group..frame.end_group() {
            self.watch.checkpoint()?;
            if self.is_left_alone(part, group) {
                continue;
            }
            let Some(mut made) = self.make_group(part, group, &mut unpacking)? else {
                if unpacking.patcher.is_none() {
                    return Ok(()); // nothing more comes out of it
                }
                continue;
            };
            let is_written = self.write_group(part, group, &made)?;
            if !is_written && self.take_from_running(part, group, &mut made) == Some(true) {
                self.write_group(part, group, &made)?;
            }
        }
        Ok(())
    }

    /// Whether a group is planned otherwise, and the frame has nothing of it that must be used up.
    fn is_left_alone(&self, part: &Part<'_>, group: u32) -> bool {
        let Some(delta) = self.delta_of(part.payload) else {
            return true;
        };
        let (first, end) = blocks_of(group, delta.spans.blocks());
        let number = part.tree.leaf_block_of(first.into());
        let is_unknown = u32::try_from(number).is_ok_and(|number| part.tree.unknown().contains(number));
        !is_unknown && delta.spans.patched(first, end) == 0
    }

    /// The blocks of a group; none when some can't be made. What the frame holds of it is used up either way. Blocks that are in place by
    /// what the slot says of itself are taken from there: reading them from the running slot as well would double what is read.
    fn make_group(
        &self,
        part: &Part<'_>,
        group: u32,
        unpacking: &mut Unpacking<'_>,
    ) -> Result<Option<MadeGroup>, InstallError> {
        let Some(delta) = self.delta_of(part.payload) else {
            return Ok(None);
        };
        let (first, end) = blocks_of(group, delta.spans.blocks());
        let mut blocks = vec![[0; BLOCK_BYTES]; (end - first) as usize];
        let there = match part.payload {
            // All of it was read from the medium to be compared, and the running one lies in the kernel's memory.
            PayloadName::Boot => kept_in(part, first, blocks.len()),
            PayloadName::Root => self.take_there(part, first, &mut blocks)?,
        };
        let made = MadeGroup { blocks, there };
        Ok(self.fill_group(part, (first, end), made, unpacking))
    }

    /// Puts into a group what isn't there yet: old blocks and patched ones.
    fn fill_group(
        &self,
        part: &Part<'_>,
        (first, end): (u32, u32),
        mut made: MadeGroup,
        unpacking: &mut Unpacking<'_>,
    ) -> Option<MadeGroup> {
        let delta = self.delta_of(part.payload)?;
        let is_taken = |number| part.payload == PayloadName::Root && made.there.contains(number);
        let mut old = OldArea {
            disk: &*self.disk,
            area: part.from,
            windows: &mut unpacking.windows,
        };
        let mut is_whole = true;
        for span in delta.spans.within(first, end) {
            let start = (span.first - first) as usize;
            let room = made.blocks.get_mut(start..start + span.blocks as usize)?;
            match span.source {
                SpanSource::Old(from) => {
                    let missing = (0..span.blocks).filter(|place| !is_taken(span.first + place));
                    for run in joined_numbers(missing.map(u64::from)) {
                        let at = (u64::from(from) + run.start) * BLOCK_BYTES as u64;
                        let range = usize::try_from(run.start).ok()?..usize::try_from(run.end).ok()?;
                        is_whole &= old.read(at, room.get_mut(range)?.as_flattened_mut()).is_ok();
                    }
                }
                SpanSource::Patch => {
                    if unpacking
                        .patcher
                        .as_mut()?
                        .fill(&mut old, room.as_flattened_mut())
                        .is_err()
                    {
                        unpacking.patcher = None;
                        return None;
                    }
                }
            }
        }
        is_whole.then_some(made)
    }

    /// Puts the running slot's blocks in the place of those that were taken from the slot that is written, where they differ: that one
    /// doesn't hold what it says. Whether any did.
    fn take_from_running(&self, part: &Part<'_>, group: u32, made: &mut MadeGroup) -> Option<bool> {
        let delta = self.delta_of(part.payload)?;
        let (first, end) = blocks_of(group, delta.spans.blocks());
        let mut differs = false;
        for span in delta.spans.within(first, end) {
            let SpanSource::Old(from) = span.source else {
                continue;
            };
            for (number, from) in (span.first..span.end()).zip(from..) {
                let mut block = [0; BLOCK_BYTES];
                let at = u64::from(from) * BLOCK_BYTES as u64;
                let room = made.blocks.get_mut((number - first) as usize)?;
                if !made.there.contains(number)
                    || self.disk.read(part.from, at, &mut block).is_err()
                    || block == *room
                {
                    continue;
                }
                *room = block;
                made.there.remove(number);
                differs = true;
            }
        }
        Some(differs)
    }

    /// Writes the blocks of a group that aren't there, if all of them are what the tree demands. Whether they are.
    pub(super) fn write_group(
        &mut self,
        part: &mut Part<'_>,
        group: u32,
        made: &MadeGroup,
    ) -> Result<bool, InstallError> {
        let number = part
            .tree
            .leaf_block_of(u64::from(group) * u64::from(GROUP_BLOCKS));
        let Some(number) = u32::try_from(number)
            .ok()
            .filter(|number| part.tree.unknown().contains(*number))
        else {
            return Ok(true); // it is planned otherwise
        };
        let salt = &part.manifest.verity.salt;
        let mut leaves = [0; BLOCK_BYTES];
        let hashes = hash_blocks(salt, &made.blocks);
        for (place, hash) in leaves.as_chunks_mut::<HASH_BYTES>().0.iter_mut().zip(hashes) {
            *place = hash;
        }
        let mut kept = Kept::new(&*self.scratch, part.manifest)?;
        if hash_block(salt, &leaves) != wanted_hash(part, &kept, number)? {
            return Ok(false);
        }
        let first = u64::from(group) * u64::from(GROUP_BLOCKS);
        let mut out = Writer::new(part.to);
        for (number, block) in (first..).zip(&made.blocks) {
            match u32::try_from(number)
                .ok()
                .filter(|number| made.there.contains(*number))
            {
                Some(number) => part.on_medium.insert(number),
                None => out.put(self.disk, number, block)?,
            }
        }
        self.watch.advance(Stage::Write, out.finish(self.disk)?);
        kept.keep(part.payload, number.into(), &leaves)?;
        part.tree.learned(number);
        Ok(true)
    }

    /// Takes those of a group's blocks from the medium of which the slot says that they are in place: which ones. One that can't be read
    /// is written: that heals it.
    fn take_there(
        &self,
        part: &Part<'_>,
        first: u32,
        blocks: &mut [Block],
    ) -> Result<BlockSet, InstallError> {
        let runs = joined_numbers(kept_in(part, first, blocks.len()).iter().map(u64::from));
        let mut there = BlockSet::new();
        self.reader()
            .each_block(part.to, runs, Reading::Lenient, |number, block| {
                let place = number
                    .checked_sub(first.into())
                    .and_then(|place| usize::try_from(place).ok());
                if let Some(room) = place.and_then(|place| blocks.get_mut(place)) {
                    *room = *block;
                    u32::try_from(number)
                        .into_iter()
                        .for_each(|number| there.insert(number));
                }
                Ok(())
            })?;
        Ok(there)
    }
}

/// A frame's streams, decompressed beside whoever reads them. Steps are few.
pub(super) fn streams_ahead<'scope, 'b: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    streams: &FrameStreams,
    bytes: &'b [u8],
) -> io::Result<[Box<dyn Read + Send + 'scope>; 3]> {
    let [control, difference, extra] = streams.decoders(bytes)?;
    let ahead = |stream| Box::new(Ahead::new(scope, stream));
    Ok([control, ahead(difference), ahead(extra)])
}

/// Those of a group's blocks of which the slot that is written says that they are in place.
pub(super) fn kept_in(part: &Part<'_>, first: u32, count: usize) -> BlockSet {
    let numbers = (first..).take(count);
    numbers
        .filter(|number| part.planned.kept.contains(*number))
        .collect()
}

/// A group's blocks.
pub(super) struct MadeGroup {
    pub(super) blocks: Vec<Block>,
    /// Which of them the medium has.
    pub(super) there: BlockSet,
}

/// Numbers that follow each other as runs.
pub(super) fn joined_numbers(numbers: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

/// The hash that a block of leaves must have.
fn wanted_hash<C: Scratch>(
    part: &Part<'_>,
    kept: &Kept<'_, C>,
    number: u32,
) -> Result<BlockHash, InstallError> {
    let Some((above, place)) = part.tree.above_leaf_block(number.into()) else {
        let target = outcrop_release::plan::survey::target(part.manifest, part.payload);
        return Ok(*target.root_hash.as_bytes());
    };
    let block = kept.kept(part.payload, above)?;
    Ok(block
        .as_chunks::<HASH_BYTES>()
        .0
        .get(place)
        .copied()
        .unwrap_or_default())
}

/// First block of a group, and the one behind its last.
pub(super) fn blocks_of(group: u32, blocks: u32) -> (u32, u32) {
    let end = group.saturating_add(1).saturating_mul(GROUP_BLOCKS);
    (group.saturating_mul(GROUP_BLOCKS).min(blocks), end.min(blocks))
}

/// The blocks below a block of leaves.
fn group_of(tree: &ProvenTree, number: u32) -> (u32, u32) {
    let blocks = u32::try_from(tree.geometry().data_blocks()).unwrap_or(u32::MAX);
    let first = tree.leaf_block_of(0);
    let group = u64::from(number).saturating_sub(first);
    blocks_of(u32::try_from(group).unwrap_or(u32::MAX), blocks)
}

const fn shifted(range: ByteRange, by: u64) -> ByteRange {
    ByteRange {
        start: range.start + by,
        end: range.end + by,
    }
}
