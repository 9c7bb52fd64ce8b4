//! What of an image is taken: block by block, and within blocks of inodes slot by slot.

use std::collections::BTreeSet;

use crate::erofs::{
    Extent,
    inode::SLOT_BYTES,
    previous::Run,
    superblock::{BLOCK, BLOCK_BYTES},
};

const SLOT: u64 = SLOT_BYTES as u64;
/// Slots of a block: as many as a `u128` has bits.
const SLOTS: u64 = (BLOCK_BYTES / SLOT_BYTES) as u64;
const _: () = assert!(SLOTS == u128::BITS as u64);

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Nothing,
    /// The superblock, or data.
    Data,
    /// Inodes, one bit for each slot that is taken.
    Records(u128),
}

/// The image while what is kept takes its old places.
pub(super) struct Space {
    blocks: Vec<Use>,
    /// Nothing that reaches behind this block is let in.
    limit: u32,
}

impl Space {
    /// An image with nothing but its superblock.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            blocks: vec![Use::Data],
            limit,
        }
    }

    pub(super) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Takes blocks for data; false when they aren't all free.
    pub(super) fn take_run(&mut self, run: Run) -> bool {
        let Some(blocks) = self.blocks_of(u64::from(run.first), u64::from(run.count)) else {
            return false;
        };
        let free = blocks.iter().all(|block| *block == Use::Nothing);
        if free {
            blocks.fill(Use::Data);
        }
        free
    }

    /// Takes slots for an inode; false when they aren't all free, or an inode of that length can't lie there.
    pub(super) fn take_record(&mut self, record: Extent) -> bool {
        let within = record.offset % BLOCK;
        if within + record.bytes > BLOCK && within != 0 || !record.offset.is_multiple_of(SLOT) {
            return false;
        }
        let count = (within + record.bytes).div_ceil(BLOCK);
        let Some(blocks) = self.blocks_of(record.offset / BLOCK, count) else {
            return false;
        };
        let masks = masks(record);
        let free = blocks.iter().zip(&masks).all(|(block, mask)| match block {
            Use::Nothing => true,
            Use::Data => false,
            Use::Records(taken) => taken & mask == 0,
        });
        if free {
            for (block, mask) in blocks.iter_mut().zip(&masks) {
                *block = match block {
                    Use::Records(taken) => Use::Records(*taken | mask),
                    _ => Use::Records(*mask),
                };
            }
        }
        free
    }

    fn blocks_of(&mut self, first: u64, count: u64) -> Option<&mut [Use]> {
        let end = first.checked_add(count)?;
        if end > u64::from(self.limit) {
            return None;
        }
        let (first, end) = (usize::try_from(first).ok()?, usize::try_from(end).ok()?);
        if self.blocks.len() < end {
            self.blocks.resize(end, Use::Nothing);
        }
        self.blocks.get_mut(first..end)
    }

    /// Of the blocks where `record` lies: those that hold inodes, and have slots of it free.
    pub(super) fn left_by(&self, record: Extent) -> impl Iterator<Item = u64> {
        let first = record.offset / BLOCK;
        let left = move |(block, mask): (u64, u128)| {
            let index = usize::try_from(block).ok()?;
            match self.blocks.get(index) {
                Some(Use::Records(taken)) if taken & mask != mask => Some(block),
                _ => None,
            }
        };
        (first..).zip(masks(record)).filter_map(left)
    }

    /// What is free: blocks, and slots in the blocks of inodes that change anyway.
    pub(super) fn holes(&self, changing: &BTreeSet<u64>) -> Holes {
        let used = self.blocks.iter().rposition(|block| *block != Use::Nothing);
        let end = used.map_or(0, |last| last + 1);
        let mut holes = Holes {
            runs: BTreeSet::new(),
            slots: BTreeSet::new(),
            end: u32::try_from(end).unwrap_or(u32::MAX), // below the limit
        };
        let mut run = 0;
        for (number, block) in (0..holes.end).zip(&self.blocks) {
            match block {
                Use::Nothing => run += 1,
                Use::Data | Use::Records(_) => {
                    if run > 0 {
                        holes.runs.insert((run, number - run));
                    }
                    run = 0;
                }
            }
            if let Use::Records(taken) = block
                && changing.contains(&u64::from(number))
            {
                holes.add_slots(u64::from(number), *taken);
            }
        }
        holes
    }
}

/// The slots of each block that `record` takes, from its first block on.
fn masks(record: Extent) -> Vec<u128> {
    let first = record.offset / SLOT;
    let end = (record.offset.saturating_add(record.bytes)).div_ceil(SLOT);
    let mut masks = Vec::new();
    let mut slot = first;
    while slot < end {
        let (from, count) = (slot % SLOTS, (end - slot).min(SLOTS - slot % SLOTS));
        let ones = if count == SLOTS {
            u128::MAX
        } else {
            (1 << count) - 1
        };
        masks.push(ones << from);
        slot += count;
    }
    masks
}

/// What is free between what is kept, and the image's end.
pub(super) struct Holes {
    /// Free blocks: how many, and the first.
    runs: BTreeSet<(u32, u32)>,
    /// Free slots: how many, and the first, counted from the image's start. None cross a block's border.
    slots: BTreeSet<(u64, u64)>,
    end: u32,
}

impl Holes {
    fn add_slots(&mut self, block: u64, taken: u128) {
        let mut from = 0;
        while from < SLOTS {
            let rest = taken >> from;
            let free = u64::from(rest.trailing_zeros()).min(SLOTS - from);
            if free > 0 {
                self.slots.insert((free, block * SLOTS + from));
                from += free;
            } else {
                from += u64::from(rest.trailing_ones());
            }
        }
    }

    /// Blocks for data: in the smallest hole that is large enough, else at the end; none when block numbers end.
    pub(super) fn take_run(&mut self, count: u32) -> Option<u32> {
        let Some(hole) = self.runs.range((count, 0)..).next().copied() else {
            let first = self.end;
            self.end = first.checked_add(count)?;
            return Some(first);
        };
        self.runs.remove(&hole);
        let (found, first) = hole;
        if found > count {
            self.runs.insert((found - count, first + count));
        }
        Some(first)
    }

    /// A place for an inode: in the smallest hole among inodes, else in a block of its own, which it then shares.
    pub(super) fn take_record(&mut self, bytes: u64) -> Option<u64> {
        let count = bytes.div_ceil(SLOT);
        if let Some(hole) = self.slots.range((count, 0)..).next().copied() {
            self.slots.remove(&hole);
            let (found, first) = hole;
            if found > count {
                self.slots.insert((found - count, first + count));
            }
            return Some(first * SLOT);
        }
        let blocks = count.div_ceil(SLOTS);
        let first = u64::from(self.take_run(u32::try_from(blocks).ok()?)?) * SLOTS;
        let rest = blocks * SLOTS - count;
        if rest > 0 {
            self.slots.insert((rest, first + count));
        }
        Some(first * SLOT)
    }

    /// The image's length in blocks.
    pub(super) const fn end(&self) -> u32 {
        self.end
    }

    /// How many blocks hold nothing, in how many pieces, and how many the longest piece has.
    pub(super) fn free(&self) -> (u32, u32, u32) {
        let blocks = self.runs.iter().map(|(count, _)| count).sum();
        let pieces = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
        (blocks, pieces, self.runs.last().map_or(0, |(count, _)| *count))
    }
}
