//! Gives everything its place: what is kept first, the rest in what that leaves.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{
    space::{Holes, Space},
    wishes::{Unit, Wish, Wishes},
};
use crate::erofs::{
    Extent, Previous,
    inode::SLOT_BYTES,
    plan::{Place, Planned, layout::Placed},
    previous::Run,
    superblock::BLOCK,
};

/// A layout.
pub(super) struct Arranged {
    /// By inode.
    pub(super) offsets: Vec<u64>,
    /// By unit.
    pub(super) firsts: Vec<u32>,
    /// The image's length.
    pub(super) blocks: u32,
    /// Blocks that hold nothing; the pieces that they lie in; blocks of the longest one.
    pub(super) free: (u32, u32, u32),
}

/// What is to be placed, again and again with another limit.
pub(super) struct Attempt<'a> {
    inodes: &'a [(Planned, Place)],
    wishes: &'a Wishes,
    previous: &'a Previous<'a>,
    /// Inodes from the longest to the shortest.
    by_length: Vec<usize>,
    /// Units from the longest to the shortest.
    by_blocks: Vec<usize>,
}

/// Where things lie so far.
struct Taken {
    space: Space,
    offsets: Vec<Option<u64>>,
    firsts: Vec<Option<u32>>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(fresh: &'a Placed, wishes: &'a Wishes, previous: &'a Previous<'a>) -> Self {
        let mut by_length: Vec<usize> = (0..fresh.inodes.len()).collect();
        let length = |index: &usize| fresh.inodes.get(*index).map(|(_, place)| place.metadata_bytes);
        by_length.sort_by_key(|index| Reverse(length(index)));
        let mut by_blocks: Vec<usize> = (0..wishes.units.len()).collect();
        by_blocks.sort_by_key(|index| Reverse(wishes.units.get(*index).map(|unit| unit.blocks)));
        Self {
            inodes: &fresh.inodes,
            wishes,
            previous,
            by_length,
            by_blocks,
        }
    }

    /// Places everything; what is kept ends before block `limit`. None when block numbers don't suffice.
    pub(super) fn arrange(&self, limit: u32) -> Option<Arranged> {
        let mut taken = Taken {
            space: Space::new(u32::MAX),
            offsets: vec![None; self.inodes.len()],
            firsts: vec![None; self.wishes.units.len()],
        };
        self.keep_root(&mut taken);
        taken.space.set_limit(limit);
        self.keep_blocks(&mut taken, |unit| match unit.wish {
            Wish::Same(run) => Some(run),
            Wish::Near(_) | Wish::Anywhere => None,
        });
        self.keep_inodes(&mut taken, |old, bytes| slots(bytes) <= slots(old));
        self.keep_inodes(&mut taken, |_, _| true);
        self.keep_blocks(&mut taken, |unit| match unit.wish {
            Wish::Near(run) => Some(Run {
                first: run.first,
                count: unit.blocks,
            }),
            Wish::Same(_) | Wish::Anywhere => None,
        });
        let holes = taken.space.holes(&self.changing(&taken));
        self.fill(taken, holes)
    }

    /// The root's number has 16 bits, so it comes first: where it was, or where a fresh image has it.
    fn keep_root(&self, taken: &mut Taken) {
        let (Some((_, place)), Some(slot)) = (self.inodes.first(), taken.offsets.first_mut()) else {
            return;
        };
        let near = |record: &Extent| u16::try_from(record.offset / SLOT_BYTES as u64).is_ok();
        let before = self.wishes.records.first().copied().flatten().filter(near);
        let places = before.map(|record| record.offset).into_iter().chain([BLOCK]);
        *slot = places.into_iter().find(|offset| {
            taken.space.take_record(Extent {
                offset: *offset,
                bytes: place.metadata_bytes,
            })
        });
    }

    /// Lets units have the blocks that they want, where those are free.
    fn keep_blocks(&self, taken: &mut Taken, wanted: impl Fn(&Unit) -> Option<Run>) {
        for (unit, first) in self.wishes.units.iter().zip(&mut taken.firsts) {
            if let Some(run) = wanted(unit)
                && taken.space.take_run(run)
            {
                *first = Some(run.first);
            }
        }
    }

    /// Lets inodes have the places of their partners, where those are free and `fits` (the lengths of old and new) agrees.
    fn keep_inodes(&self, taken: &mut Taken, fits: impl Fn(u64, u64) -> bool) {
        let all = self.inodes.iter().zip(&self.wishes.records);
        for (((_, place), record), offset) in all.zip(&mut taken.offsets) {
            if let (Some(record), None) = (record, &offset)
                && fits(record.bytes, place.metadata_bytes)
                && taken.space.take_record(Extent {
                    offset: record.offset,
                    bytes: place.metadata_bytes,
                })
            {
                *offset = Some(record.offset);
            }
        }
    }

    /// Blocks of inodes that change whatever else is put into them.
    fn changing(&self, taken: &Taken) -> BTreeSet<u64> {
        let left = self.previous.inodes().iter();
        let left = left.flat_map(|inode| taken.space.left_by(inode.record));
        let known = taken.offsets.iter().zip(&self.wishes.changed);
        let known = known.filter(|(_, changed)| **changed);
        let known = known.filter_map(|(offset, _)| Some((*offset)? / BLOCK));
        left.chain(known).collect()
    }

    /// Places the rest, the longest first.
    fn fill(&self, taken: Taken, mut holes: Holes) -> Option<Arranged> {
        let (mut offsets, mut firsts) = (taken.offsets, taken.firsts);
        for index in &self.by_length {
            let (place, offset) = (&self.inodes.get(*index)?.1, offsets.get_mut(*index)?);
            if offset.is_none() {
                *offset = Some(holes.take_record(place.metadata_bytes)?);
            }
        }
        for index in &self.by_blocks {
            let (unit, first) = (self.wishes.units.get(*index)?, firsts.get_mut(*index)?);
            if first.is_none() {
                *first = Some(holes.take_run(unit.blocks)?);
            }
        }
        Some(Arranged {
            offsets: offsets.into_iter().collect::<Option<_>>()?,
            firsts: firsts.into_iter().collect::<Option<_>>()?,
            blocks: holes.end(),
            free: holes.free(),
        })
    }
}

fn slots(bytes: u64) -> u64 {
    bytes.div_ceil(SLOT_BYTES as u64)
}
