//! The installation itself: prepare (read, prove, plan), then carry out (write, read back, say so in the boot record).

use std::{cell::RefCell, collections::BTreeSet, ops::Range};

use outcrop_release::{
    bootrec::Payload,
    bundle::{FrameTable, Index, MemberName, Place},
    plan::{
        ActiveBlocks, BlockSet, ByteRange, Cost, FrameStep, PayloadFacts, PayloadPlan, Source as Origin,
        coalesce,
    },
    slot::Slot,
    trust::VerifiedRelease,
    verity::{BLOCK_BYTES, BlockHash, Geometry, HASH_BYTES, Salt, Superblock, hash_block},
};

use super::{
    error::InstallError,
    frames::{Cutter, Unpacker},
    head::{Head, Layout},
    source::{Source, fetch},
    trees::{self, Scratch, Tree, Trees, check_digest},
};
use crate::{
    disk::{Area, Disk, DiskError},
    record,
};

/// A frame table is read into memory: it may have a frame of 40 bytes for every 8 blocks of the payloads, and this many more.
const MAX_INDEX_BYTES: u64 = 64 << 10;
/// Bytes between two wanted frames that are fetched rather than asked for separately.
const GAP_BYTES: u64 = 64 * 1024;
/// Blocks that are read at a time.
const READ_BLOCKS: usize = 32;

/// What an installation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading what the device has.
    Compare,
    /// Writing blocks, from the bundle or from the running slot.
    Write,
    /// Reading back what was written.
    Check,
}

/// Who is told, and who may stop it.
pub trait Watch {
    /// `bytes` more of `total` are done.
    fn advance(&self, stage: Stage, bytes: u64);

    /// Asked between pieces of work.
    ///
    /// # Errors
    /// [`InstallError::Interrupted`] when it shall stop.
    fn checkpoint(&self) -> Result<(), InstallError>;
}

/// What an installation works with.
pub struct Installation<'a, S, D, C> {
    /// The bundle.
    pub source: &'a mut S,
    /// The disk.
    pub disk: &'a mut D,
    /// Where the trees are kept.
    pub scratch: &'a mut C,
    /// The slot that runs, and is never written to.
    pub running: Slot,
    /// How many bytes may be fetched; none means any number.
    pub budget: Option<u64>,
    /// Who is told.
    pub watch: &'a dyn Watch,
}

/// A release that can be installed, and what that costs. Nothing has changed yet.
pub struct Prepared<'a> {
    cost: Cost,
    release: &'a VerifiedRelease,
    layout: Layout,
    index: Index,
    trees: Trees,
    boot: PlannedPayload,
    root: PlannedPayload,
}

struct PlannedPayload {
    plan: PayloadPlan,
    in_place: BlockSet,
}

/// One payload of the release, where it comes from and where it goes.
struct Part<'a> {
    name: MemberName,
    table: &'a FrameTable,
    place: Place,
    tree: Tree,
    planned: &'a PlannedPayload,
    to: Area,
    from: Area,
}

impl Prepared<'_> {
    /// What it costs, frame table and hash trees included; those are fetched already.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        self.cost
    }
}

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Fetches frame table and trees, compares them with what both slots hold, and plans. Changes nothing on the disk.
    ///
    /// # Errors
    /// When the bundle isn't what was signed, or something can't be read.
    pub fn prepare<'r>(
        &mut self,
        head: &Head,
        release: &'r VerifiedRelease,
    ) -> Result<Prepared<'r>, InstallError> {
        let manifest = release.manifest();
        let layout = head.layout(&manifest.members);
        let target = self.running.other();
        let tree = Geometry::new(manifest.root.bytes / BLOCK_BYTES as u64)?;
        for (area, needed) in [
            (Area::Boot(target), manifest.boot.bytes),
            (Area::Root(target), manifest.root.bytes),
            (Area::Verity(target), tree.partition_bytes()),
        ] {
            let space = self.disk.bytes(area);
            if needed > space {
                return Err(InstallError::Space { area, space, needed });
            }
        }
        let blocks = (manifest.boot.bytes + manifest.root.bytes) / BLOCK_BYTES as u64;
        if layout.index.bytes > MAX_INDEX_BYTES + blocks / 8 * 40 {
            return Err(InstallError::IndexLength(layout.index.bytes));
        }
        let ahead = layout.index.bytes + layout.verity.bytes;
        self.within_budget(ahead)?;
        let range = ByteRange {
            start: layout.index.start,
            end: layout.index.start + layout.index.bytes,
        };
        let bytes = fetch::<InstallError>(self.source, range)?;
        let found = outcrop_release::digest::FileDigest::of(&bytes);
        check_digest(MemberName::Index, manifest.members.index.sha256, found)?;
        let index = Index::decode(&bytes, manifest)?;
        drop(bytes);
        let checkpoint = || self.watch.checkpoint();
        let trees = trees::fetch(self.source, layout.verity, manifest, self.scratch, &checkpoint)?;
        let boot_active = self.hashed(Area::Boot(self.running), index.boot.totals().0, trees.boot.salt())?;
        let boot = self.plan(
            &index.boot,
            trees.boot,
            Area::Boot(target),
            &ActiveBlocks::new(boot_active.into_iter()),
        )?;
        let root_active = self.tree_of_running(trees.root.salt())?;
        let root = self.plan(&index.root, trees.root, Area::Root(target), &root_active)?;
        let ahead = Cost {
            fetch: ahead,
            ..Cost::default()
        };
        let cost = ahead + boot.plan.cost + root.plan.cost;
        self.within_budget(cost.fetch)?;
        Ok(Prepared {
            cost,
            release,
            layout,
            index,
            trees,
            boot,
            root,
        })
    }

    fn within_budget(&self, fetch: u64) -> Result<(), InstallError> {
        let cost = Cost {
            fetch,
            ..Cost::default()
        };
        Ok(self.budget.map_or(Ok(()), |allowed| cost.within(allowed))?)
    }

    fn plan(
        &self,
        table: &FrameTable,
        tree: Tree,
        target: Area,
        active: &ActiveBlocks,
    ) -> Result<PlannedPayload, InstallError> {
        let mut leaves = tree.leaves(self.scratch);
        let mut in_place = BlockSet::new();
        self.each_block(target, leaves.count(), Reading::Lenient, |number, block| {
            self.watch.advance(Stage::Compare, BLOCK_BYTES as u64);
            if hash_block(tree.salt(), block) == leaves.get(number)? {
                // Numbers of blocks have 32 bits, or there would be no plan.
                in_place.insert(u32::try_from(number).unwrap_or(u32::MAX));
            }
            Ok(())
        })?;
        let failed = RefCell::new(None);
        let mut leaves = tree.leaves(self.scratch);
        let hashes = (0..leaves.count()).map_while(|number| match leaves.get(number) {
            Ok(leaf) => Some(leaf),
            Err(error) => {
                *failed.borrow_mut() = Some(error);
                None
            }
        });
        let facts = PayloadFacts {
            frames: table,
            in_place: &in_place,
            active,
        };
        let plan = PayloadPlan::new(&facts, hashes);
        match failed.into_inner() {
            Some(error) => Err(error),
            None => Ok(PlannedPayload {
                plan: plan?,
                in_place,
            }),
        }
    }

    /// Hashes of the first blocks of an area; fewer when it is shorter.
    fn hashed(&self, area: Area, blocks: u64, salt: &Salt) -> Result<Vec<BlockHash>, InstallError> {
        let blocks = blocks.min(self.disk.bytes(area) / BLOCK_BYTES as u64);
        let count = usize::try_from(blocks).unwrap_or_default();
        // No block has this hash: one that can't be read is where nothing is looked for.
        let mut hashes = vec![[0; HASH_BYTES]; count];
        self.each_block(area, blocks, Reading::Hint, |number, block| {
            let place = usize::try_from(number)
                .ok()
                .and_then(|number| hashes.get_mut(number));
            if let Some(place) = place {
                *place = hash_block(salt, block);
            }
            Ok(())
        })?;
        Ok(hashes)
    }

    /// What the running slot's root has, by its tree. That is a hint: what is copied is compared with the new tree. A tree of
    /// another salt says nothing.
    fn tree_of_running(&self, salt: &Salt) -> Result<ActiveBlocks, InstallError> {
        let area = Area::Verity(self.running);
        let mut first = [0; BLOCK_BYTES];
        let read = self.disk.read(area, 0, &mut first).ok();
        let Some(superblock) = read.and_then(|()| Superblock::parse(&first).ok()) else {
            return Ok(ActiveBlocks::default());
        };
        let geometry = superblock.geometry;
        let is_there = geometry.partition_bytes() <= self.disk.bytes(area)
            && geometry.data_bytes() <= self.disk.bytes(Area::Root(self.running));
        if superblock.salt != *salt || !is_there {
            return Ok(ActiveBlocks::default());
        }
        let first_block = geometry.leaves_offset() / BLOCK_BYTES as u64;
        let last_block = geometry.partition_bytes() / BLOCK_BYTES as u64;
        let leaves = (first_block..last_block).flat_map(|number| {
            let mut block = [0; BLOCK_BYTES];
            if self
                .disk
                .read(area, number * BLOCK_BYTES as u64, &mut block)
                .is_err()
            {
                block = [0; BLOCK_BYTES]; // what can't be read is where nothing is looked for
            }
            block.as_chunks::<HASH_BYTES>().0.to_vec()
        });
        let count = usize::try_from(geometry.data_blocks()).unwrap_or(usize::MAX);
        self.watch.checkpoint()?;
        Ok(ActiveBlocks::new(leaves.take(count)))
    }

    /// Writes the release to the slot that doesn't run. Afterwards the boot record says that it is there; arming its trial is
    /// another step.
    ///
    /// # Errors
    /// Whatever fails; the boot record then says that the slot is empty, and running it again goes on.
    pub fn carry_out(&mut self, prepared: &Prepared<'_>) -> Result<(), InstallError> {
        let target = self.running.other();
        let mut record = record::load(self.disk, self.running)?;
        if record.trial.is_some_and(|trial| trial.slot == target) {
            return Err(InstallError::TrialArmed);
        }
        record.begin_install(target, self.running)?;
        // Also when it says so already: an earlier run may have written that and never flushed it.
        record::store(self.disk, &record)?;
        self.clear_superblock(target)?;
        let parts = [
            Part {
                name: MemberName::Boot,
                table: &prepared.index.boot,
                place: prepared.layout.boot,
                tree: prepared.trees.boot,
                planned: &prepared.boot,
                to: Area::Boot(target),
                from: Area::Boot(self.running),
            },
            Part {
                name: MemberName::Root,
                table: &prepared.index.root,
                place: prepared.layout.root,
                tree: prepared.trees.root,
                planned: &prepared.root,
                to: Area::Root(target),
                from: Area::Root(self.running),
            },
        ];
        for part in &parts {
            self.write_part(part)?;
        }
        self.write_tree(prepared.trees.root, Area::Verity(target))?;
        self.clear_rest(Area::Boot(target), prepared.index.boot.totals().0)?;
        for area in [Area::Boot(target), Area::Root(target), Area::Verity(target)] {
            self.disk.flush(area)?;
        }
        for part in &parts {
            self.check_part(part)?;
        }
        self.check_rest(Area::Boot(target), prepared.index.boot.totals().0)?;
        self.check_tree(prepared.trees.root, Area::Verity(target))?;
        self.write_superblock(prepared.trees.root, target)?;
        // Others may have written to the record meanwhile: only this slot's part is ours.
        let mut record = record::load(self.disk, self.running)?;
        record.installed(target, prepared.release.digest(), Payload::default())?;
        record::store(self.disk, &record)?;
        Ok(())
    }

    /// Before anything else of the slot changes: a half-written twin of the running release must not be taken for it.
    fn clear_superblock(&mut self, slot: Slot) -> Result<(), InstallError> {
        self.write_proven(Area::Verity(slot), &[0; BLOCK_BYTES])
    }

    /// Writes the first block of an area, and reads it back from the medium.
    fn write_proven(&mut self, area: Area, block: &[u8; BLOCK_BYTES]) -> Result<(), InstallError> {
        self.disk.write(area, 0, block)?;
        self.disk.flush(area)?;
        let mut found = [0; BLOCK_BYTES];
        self.disk.read_medium(area, 0, &mut found)?;
        if found == *block {
            Ok(())
        } else {
            Err(InstallError::Medium { area, block: 0 })
        }
    }

    /// Writes the superblock, which makes the slot's root whole.
    fn write_superblock(&mut self, tree: Tree, slot: Slot) -> Result<(), InstallError> {
        let block = tree.block(self.scratch, 0)?;
        self.write_proven(Area::Verity(slot), &block)
    }

    fn write_part(&mut self, part: &Part<'_>) -> Result<(), InstallError> {
        let mut fetched: Vec<usize> = Vec::new();
        for step in &part.planned.plan.steps {
            self.watch.checkpoint()?;
            let copied = match &step.source {
                Origin::InPlace => true,
                Origin::Active(_) => self.copy(part, step)?,
                Origin::Bundle => false,
            };
            if !copied {
                fetched.push(step.frame);
            }
        }
        let mut unpacker = Unpacker::new(part.name)?;
        let ranges = coalesce(part.table, fetched.iter().copied(), GAP_BYTES);
        let mut frames = fetched.into_iter().peekable();
        for range in ranges {
            let Some(&first) = frames.peek() else { break };
            let (disk, scratch, watch) = (&mut *self.disk, &*self.scratch, self.watch);
            let mut cutter = Cutter::new(part.table, first);
            let mut leaves = part.tree.leaves(scratch);
            let member = ByteRange {
                start: part.place.start + range.start,
                end: part.place.start + range.end,
            };
            self.source.read::<InstallError>(member, &mut |piece| {
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

    /// Copies a frame's blocks from the running slot. False when one of them isn't what its tree said: then the whole
    /// frame has to be fetched.
    fn copy(&mut self, part: &Part<'_>, step: &FrameStep) -> Result<bool, InstallError> {
        let Origin::Active(runs) = &step.source else {
            return Ok(false);
        };
        let mut leaves = part.tree.leaves(self.scratch);
        let mut out = Writer::new(part);
        for run in runs {
            for offset in 0..run.blocks {
                let (to, from) = (u64::from(run.to + offset), u64::from(run.from + offset));
                let mut block = [0; BLOCK_BYTES];
                // A running slot with a block that can't be read is no reason to give up: the bundle has it.
                let read = self.disk.read(part.from, from * BLOCK_BYTES as u64, &mut block);
                if read.is_err() || hash_block(part.tree.salt(), &block) != leaves.get(to)? {
                    return Ok(false);
                }
                out.put(self.disk, to, &block)?;
            }
        }
        self.watch.advance(Stage::Write, out.finish(self.disk)?);
        Ok(true)
    }

    /// Writes the blocks of the tree that differ, but for the superblock.
    fn write_tree(&mut self, tree: Tree, area: Area) -> Result<(), InstallError> {
        let same = self.same(area, 1..tree.blocks(), |number| tree.block(self.scratch, number))?;
        for number in (1..tree.blocks()).filter(|number| !same.contains(number)) {
            self.watch.checkpoint()?;
            let block = tree.block(self.scratch, number)?;
            self.disk.write(area, number * BLOCK_BYTES as u64, &block)?;
        }
        Ok(())
    }

    /// Writes zeros behind the boot payload where there are none: what a longer one left.
    fn clear_rest(&mut self, area: Area, blocks: u64) -> Result<(), InstallError> {
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
        self.each_block(area, all.end, Reading::Lenient, |number, block| {
            if all.contains(&number) && *block == wanted(number)? {
                same.insert(number);
            }
            Ok(())
        })?;
        Ok(same)
    }

    /// Reads a payload back from the medium and compares every block with the tree.
    fn check_part(&self, part: &Part<'_>) -> Result<(), InstallError> {
        let mut leaves = part.tree.leaves(self.scratch);
        let area = part.to;
        self.each_block(area, leaves.count(), Reading::Medium, |number, block| {
            self.watch.advance(Stage::Check, BLOCK_BYTES as u64);
            if hash_block(part.tree.salt(), block) == leaves.get(number)? {
                Ok(())
            } else {
                Err(InstallError::Medium { area, block: number })
            }
        })
    }

    /// Proves the tree on the medium from the root hash down: what was kept meanwhile isn't believed.
    fn check_tree(&self, tree: Tree, area: Area) -> Result<(), InstallError> {
        let mut verifier = tree.verifier();
        let superblock = tree.block(self.scratch, 0)?;
        self.each_block(area, tree.blocks(), Reading::Medium, |number, block| {
            let block = if number == 0 { &superblock } else { block };
            let proven = verifier.push(block);
            proven
                .map(drop)
                .map_err(|_| InstallError::Medium { area, block: number })
        })
    }

    /// What is behind the boot payload is zero.
    fn check_rest(&self, area: Area, blocks: u64) -> Result<(), InstallError> {
        let all = self.disk.bytes(area) / BLOCK_BYTES as u64;
        self.each_block(area, all, Reading::Medium, |number, block| {
            if number < blocks || *block == [0; BLOCK_BYTES] {
                Ok(())
            } else {
                Err(InstallError::Medium { area, block: number })
            }
        })
    }

    /// Reads the first `blocks` blocks of an area and hands over each.
    fn each_block(
        &self,
        area: Area,
        blocks: u64,
        reading: Reading,
        mut take: impl FnMut(u64, &[u8; BLOCK_BYTES]) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        let mut buffer = vec![0; READ_BLOCKS * BLOCK_BYTES];
        for first in (0..blocks).step_by(READ_BLOCKS) {
            self.watch.checkpoint()?;
            let count = (blocks - first).min(READ_BLOCKS as u64);
            let len = usize::try_from(count).unwrap_or_default() * BLOCK_BYTES;
            let piece = buffer.get_mut(..len).unwrap_or_default();
            let read = reading.read(self.disk, area, first * BLOCK_BYTES as u64, piece);
            match (read, reading) {
                (Ok(()), _) => {}
                (Err(_), Reading::Lenient | Reading::Hint) => {
                    self.each_readable(area, first..first + count, reading, &mut take)?;
                    continue;
                }
                (Err(error), _) => return Err(error.into()),
            }
            for (block, number) in piece.as_chunks().0.iter().zip(first..) {
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

/// Which bytes are asked for.
#[derive(Debug, Clone, Copy)]
enum Reading {
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

/// Puts neighbouring blocks together, so that they are written at once; those in place are left out.
struct Writer<'a> {
    area: Area,
    in_place: &'a BlockSet,
    start: u64,
    bytes: Vec<u8>,
    written: u64,
}

impl<'a> Writer<'a> {
    const fn new(part: &Part<'a>) -> Self {
        Self {
            area: part.to,
            in_place: &part.planned.in_place,
            start: 0,
            bytes: Vec::new(),
            written: 0,
        }
    }

    fn put(
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
    fn finish(mut self, disk: &mut impl Disk) -> Result<u64, InstallError> {
        self.flush(disk)?;
        Ok(self.written)
    }
}
