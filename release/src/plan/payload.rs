//! The plan for one payload, in two steps: what each block needs, then the frames that hold what is nowhere on the device.

use std::iter;

use super::{active::ActiveBlocks, block_set::BlockSet, survey::SurveyError};
use crate::{bundle::PlacedFrame, verity::BlockHash};

/// Neighbouring blocks that are copied from neighbouring blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRun {
    /// First block in the inactive slot.
    pub to: u32,
    /// First block in the active slot.
    pub from: u32,
    /// How many.
    pub blocks: u32,
}

/// What the blocks of a payload need that aren't in place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// The active slot has them. Ascending.
    pub copies: Vec<CopyRun>,
    /// Nowhere on the device.
    pub missing: BlockSet,
    /// Their hashes aren't known: they are planned elsewhere.
    pub deferred: BlockSet,
}

/// What is done for a payload: copies and frames, both ascending. No block is in both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayloadPlan {
    /// What is copied from the active slot.
    pub copies: Vec<CopyRun>,
    /// What is fetched. A frame gives all of its blocks that aren't in place.
    pub frames: Vec<PlacedFrame>,
    /// Blocks that are planned elsewhere.
    pub deferred: BlockSet,
}

/// The leaves and the frames aren't those of one payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More blocks than any slot has: numbers have 32 bits.
    #[error("a payload of {0} blocks is larger than any slot")]
    TooLarge(u64),
    /// A block that is in none of the frames.
    #[error("no frame of the bundle holds block {0}")]
    NoFrame(u32),
}

impl Needs {
    /// Looks for the blocks that have these `leaves`, all of a payload's in order; one that isn't known is deferred.
    ///
    /// # Errors
    /// The first error of `leaves`; [`PlanError::TooLarge`].
    pub fn new<E: From<SurveyError>>(
        in_place: &BlockSet,
        active: &ActiveBlocks,
        leaves: impl Iterator<Item = Result<Option<BlockHash>, E>>,
    ) -> Result<Self, E> {
        let mut needs = Self::default();
        for (number, leaf) in (0_u64..).zip(leaves) {
            let block = u32::try_from(number).map_err(|_| SurveyError::from(PlanError::TooLarge(number)))?;
            match leaf? {
                _ if in_place.contains(block) => {}
                None => needs.deferred.insert(block),
                Some(leaf) => needs.look_for(block, &leaf, active),
            }
        }
        Ok(needs)
    }

    fn look_for(&mut self, block: u32, leaf: &BlockHash, active: &ActiveBlocks) {
        let last = self.copies.last_mut();
        let behind = last
            .as_ref()
            .map(|run| (run.to + run.blocks, run.from + run.blocks));
        let Some(from) = active.find(leaf, behind.map(|(_, from)| from)) else {
            self.missing.insert(block);
            return;
        };
        match last {
            Some(run) if behind == Some((block, from)) => run.blocks += 1,
            _ => self.copies.push(CopyRun {
                to: block,
                from,
                blocks: 1,
            }),
        }
    }
}

impl PayloadPlan {
    /// Has `frames` fetched, all that hold missing blocks, ascending. What they hold isn't copied.
    ///
    /// # Errors
    /// [`PlanError::NoFrame`].
    pub fn new(needs: Needs, frames: Vec<PlacedFrame>) -> Result<Self, PlanError> {
        if let Some(block) = first_outside(&needs.missing, &frames) {
            return Err(PlanError::NoFrame(block));
        }
        let mut copies = Vec::with_capacity(needs.copies.len());
        let mut behind = frames.as_slice();
        for run in needs.copies {
            let start = u64::from(run.to);
            behind = behind
                .get(behind.partition_point(|frame| frame.end_block() <= start)..)
                .unwrap_or_default();
            copies.extend(without(run, behind));
        }
        Ok(Self {
            copies,
            frames,
            deferred: needs.deferred,
        })
    }

    /// Blocks that are copied.
    #[must_use]
    pub fn copied(&self) -> u64 {
        self.copies.iter().map(|run| u64::from(run.blocks)).sum()
    }

    /// Bytes that are read back of the payload, since a frame needs what is before it, and no frame gave that just then.
    #[must_use]
    pub fn prefix_bytes(&self) -> u64 {
        let before = iter::once(None).chain(self.frames.iter().map(Some));
        let apart = self
            .frames
            .iter()
            .zip(before)
            .filter(|(frame, before)| before.is_none_or(|before| before.end_block() != frame.first));
        apart.map(|(frame, _)| frame.prefix_bytes() as u64).sum()
    }

    /// Blocks that frames give: those of them that are neither in place nor planned elsewhere.
    #[must_use]
    pub fn unpacked(&self, in_place: &BlockSet) -> u64 {
        let blocks = self
            .frames
            .iter()
            .flat_map(|frame| frame.first..frame.end_block());
        let is_wanted = |block: u64| {
            u32::try_from(block)
                .is_ok_and(|block| !in_place.contains(block) && !self.deferred.contains(block))
        };
        blocks.filter(|block| is_wanted(*block)).count() as u64
    }
}

/// The first block of a set that no frame holds.
fn first_outside(set: &BlockSet, frames: &[PlacedFrame]) -> Option<u32> {
    let mut from = 0;
    for frame in frames {
        if let Some(block) = set.next(from).filter(|block| u64::from(*block) < frame.first) {
            return Some(block);
        }
        from = u32::try_from(frame.end_block()).ok()?;
    }
    set.next(from)
}

/// What is left of a run without the blocks of frames, the first of which ends behind the run's start.
fn without(run: CopyRun, frames: &[PlacedFrame]) -> Vec<CopyRun> {
    let end = u64::from(run.to) + u64::from(run.blocks);
    let mut at = u64::from(run.to);
    let mut rest = Vec::new();
    let mut add = |start: u64, end: u64| {
        let skipped = start.saturating_sub(run.to.into());
        let narrow = |number: u64| u32::try_from(number).ok();
        let piece = narrow(start)
            .zip(narrow(u64::from(run.from) + skipped))
            .zip(narrow(end - start));
        rest.extend(piece.map(|((to, from), blocks)| CopyRun { to, from, blocks }));
    };
    for frame in frames.iter().take_while(|frame| frame.first < end) {
        if frame.first > at {
            add(at, frame.first);
        }
        at = frame.end_block();
    }
    if at < end {
        add(at, end);
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        bundle::{Frame, FrameTable},
        digest::FileDigest,
    };

    /// Frames of these many blocks, each of 100 bytes.
    fn table(blocks: &[u32]) -> FrameTable {
        let frame = |blocks: &u32| Frame {
            blocks: *blocks,
            bytes: 100,
            sha256: FileDigest::of(b""),
        };
        FrameTable::new(blocks.iter().map(frame)).unwrap()
    }

    /// Leaves of blocks whose content is a number; 255 isn't known.
    fn leaves(contents: &[u8]) -> impl Iterator<Item = Result<Option<BlockHash>, SurveyError>> {
        contents
            .iter()
            .map(|content| Ok((*content != 255).then_some([*content; 32])))
    }

    fn needs(new: &[u8], in_place: &[u32], active: &[u8]) -> Needs {
        let in_place = in_place.iter().copied().collect();
        let active = ActiveBlocks::new(active.iter().map(|content| [*content; 32]));
        Needs::new(&in_place, &active, leaves(new)).unwrap()
    }

    fn plan(frames: &[u32], needs: Needs) -> PayloadPlan {
        let table = table(frames);
        let holds_missing = |frame: &&PlacedFrame| {
            let first = u32::try_from(frame.first).unwrap();
            needs
                .missing
                .next(first)
                .is_some_and(|block| u64::from(block) < frame.end_block())
        };
        let frames = table.frames().iter().filter(holds_missing).copied().collect();
        PayloadPlan::new(needs, frames).unwrap()
    }

    const fn run(to: u32, from: u32, blocks: u32) -> CopyRun {
        CopyRun { to, from, blocks }
    }

    #[test]
    fn blocks_come_from_the_cheapest_place_that_has_them_and_a_frame_gives_all_of_its_own() {
        let needs = needs(&[1, 2, 3, 4, 5, 6, 7, 8, 255], &[0, 1], &[5, 3, 4, 6]);
        assert_eq!(needs.copies, [run(2, 1, 2), run(4, 0, 1), run(5, 3, 1)]);
        assert_eq!(needs.missing, [6, 7].into_iter().collect());
        assert_eq!(needs.deferred, [8].into_iter().collect());
        let plan = plan(&[2, 3, 2, 1, 1], needs);
        assert_eq!(plan.copies, [run(2, 1, 2), run(4, 0, 1)], "block 5 comes with 6");
        let numbers: Vec<u32> = plan.frames.iter().map(|frame| frame.number).collect();
        assert_eq!(numbers, [2, 3]);
        assert_eq!((plan.copied(), plan.unpacked(&BlockSet::new())), (3, 3));
    }

    #[test]
    fn an_installation_that_is_complete_needs_nothing() {
        assert_eq!(needs(&[1, 2, 3, 4], &[0, 1, 2, 3], &[]), Needs::default());
    }

    #[test]
    fn a_missing_block_without_a_frame_is_refused() {
        let needs = needs(&[1, 2, 3, 4], &[0], &[]);
        let frames = |numbers: &[usize]| {
            let table = table(&[2, 1, 1]);
            numbers.iter().map(|number| table.frames()[*number]).collect()
        };
        for (given, block) in [(&[1, 2][..], 1), (&[0, 2], 2), (&[0, 1], 3), (&[], 1)] {
            let plan = PayloadPlan::new(needs.clone(), frames(given));
            assert_eq!(plan, Err(PlanError::NoFrame(block)));
        }
        assert!(PayloadPlan::new(needs, frames(&[0, 1, 2])).is_ok());
    }

    #[test]
    fn what_is_before_a_frame_is_read_back_unless_the_frame_before_gave_it() {
        let table = table(&[1, 2, 40, 3, 1, 1]);
        let read = |numbers: &[usize]| {
            let frames = numbers.iter().map(|number| table.frames()[*number]).collect();
            let plan = PayloadPlan {
                frames,
                ..PayloadPlan::default()
            };
            plan.prefix_bytes() / 4096
        };
        assert_eq!([read(&[]), read(&[0, 1, 2, 3]), read(&[1, 2])], [0, 0, 1]);
        assert_eq!([read(&[0, 2]), read(&[2, 4, 5]), read(&[3, 5])], [3, 3 + 16, 32]);
    }

    proptest! {
        /// Carrying a plan out, with contents for blocks, makes the new payload out of any old one, and writes no block twice.
        #[test]
        fn a_plan_carried_out_gives_the_new_payload(
            sizes in proptest::collection::vec(1..5_u32, 1..8),
            seed in proptest::collection::vec(0..12_u8, 40),
            before in proptest::collection::vec(0..12_u8, 40),
            active in proptest::collection::vec(0..12_u8, 0..40),
        ) {
            let blocks = usize::try_from(table(&sizes).totals().0).unwrap();
            let (new, mut slot) = (seed[..blocks].to_vec(), before[..blocks].to_vec());
            let in_place: Vec<u32> = (0..).zip(new.iter().zip(&slot)).filter(|(_, (new, old))| new == old).map(|(at, _)| at).collect();
            let plan = plan(&sizes, needs(&new, &in_place, &active));
            let at = |block: u64| usize::try_from(block).unwrap();
            let mut written = vec![0; blocks];
            for run in &plan.copies {
                for step in 0..run.blocks {
                    let to = at((run.to + step).into());
                    slot[to] = active[at((run.from + step).into())];
                    written[to] += 1;
                }
            }
            let in_place: BlockSet = in_place.into_iter().collect();
            for block in plan.frames.iter().flat_map(|frame| frame.first..frame.end_block()) {
                if !in_place.contains(u32::try_from(block).unwrap()) {
                    slot[at(block)] = new[at(block)];
                    written[at(block)] += 1;
                }
            }
            prop_assert_eq!(slot, new);
            prop_assert!(written.iter().all(|times| *times <= 1));
            let total: u64 = written.iter().sum();
            prop_assert_eq!(total, plan.copied() + plan.unpacked(&in_place));
            prop_assert_eq!(total + in_place.len(), blocks as u64);
        }
    }
}
