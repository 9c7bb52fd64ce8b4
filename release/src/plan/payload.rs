//! The plan for one payload: a step for each of its frames.

use super::{active::ActiveBlocks, block_set::BlockSet, cost::Cost};
use crate::{
    bundle::FrameTable,
    verity::{BLOCK_BYTES, BlockHash},
};

/// What is known before a payload is installed.
#[derive(Debug, Clone, Copy)]
pub struct PayloadFacts<'a> {
    /// The bundle's frames.
    pub frames: &'a FrameTable,
    /// Blocks of the inactive slot that have the new content already.
    pub in_place: &'a BlockSet,
    /// What the active slot has.
    pub active: &'a ActiveBlocks,
}

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

/// Where a frame's blocks come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// All are in place.
    InPlace,
    /// Those that aren't in place are in the active slot.
    Active(Vec<CopyRun>),
    /// At least one is nowhere on the device: the frame is fetched, and gives all that aren't in place.
    Bundle,
}

/// What is done for one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameStep {
    /// Its number in the frame table.
    pub frame: usize,
    /// Where its blocks come from.
    pub source: Source,
    /// How many of its blocks are written.
    pub written: u32,
}

/// What is done for a payload: a step for each frame, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadPlan {
    /// The steps.
    pub steps: Vec<FrameStep>,
    /// What they cost.
    pub cost: Cost,
}

/// The leaves and the frames aren't those of one payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Fewer or more leaves than blocks.
    #[error("the hash tree has another number of blocks than the frames hold ({0})")]
    Leaves(u64),
    /// More blocks than any slot has: numbers have 32 bits.
    #[error("a payload of {0} blocks is larger than any slot")]
    TooLarge(u64),
}

impl PayloadPlan {
    /// Plans a payload whose blocks have these `leaves`.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn new(
        facts: &PayloadFacts<'_>,
        mut leaves: impl Iterator<Item = BlockHash>,
    ) -> Result<Self, PlanError> {
        let (blocks, _) = facts.frames.totals();
        let blocks = u32::try_from(blocks).map_err(|_| PlanError::TooLarge(blocks))?;
        let mut plan = Self {
            steps: Vec::with_capacity(facts.frames.frames().len()),
            cost: Cost::default(),
        };
        let mut first = 0;
        for (number, frame) in facts.frames.frames().iter().enumerate() {
            let wanted = Wanted::read(facts.in_place, first, frame.blocks, &mut leaves)
                .ok_or_else(|| PlanError::Leaves(blocks.into()))?;
            let source = wanted.source(facts.active);
            plan.cost = plan.cost + cost(&source, &wanted, frame.blocks, frame.bytes);
            plan.steps.push(FrameStep {
                frame: number,
                source,
                written: wanted.count(),
            });
            first += frame.blocks;
        }
        match leaves.next() {
            None => Ok(plan),
            Some(_) => Err(PlanError::Leaves(blocks.into())),
        }
    }

    /// Numbers of the frames that are fetched, ascending.
    pub fn fetched(&self) -> impl Iterator<Item = usize> {
        let is_fetched = |step: &&FrameStep| step.source == Source::Bundle;
        self.steps.iter().filter(is_fetched).map(|step| step.frame)
    }
}

/// The blocks of a frame that aren't in place, with their leaves.
struct Wanted(Vec<(u32, BlockHash)>);

impl Wanted {
    /// Takes the leaves of `count` blocks from `first` on; none when there are too few.
    fn read(
        in_place: &BlockSet,
        first: u32,
        count: u32,
        leaves: &mut impl Iterator<Item = BlockHash>,
    ) -> Option<Self> {
        let mut wanted = Vec::new();
        for block in first..first + count {
            let leaf = leaves.next()?;
            if !in_place.contains(block) {
                wanted.push((block, leaf));
            }
        }
        Some(Self(wanted))
    }

    fn count(&self) -> u32 {
        // A frame has at most 256 blocks.
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn source(&self, active: &ActiveBlocks) -> Source {
        let mut runs: Vec<CopyRun> = Vec::new();
        for (block, leaf) in &self.0 {
            let behind = runs
                .last()
                .map(|run| (run.to + run.blocks, run.from + run.blocks));
            let Some(from) = active.find(leaf, behind.map(|(_, from)| from)) else {
                return Source::Bundle;
            };
            match runs.last_mut() {
                Some(run) if behind == Some((*block, from)) => run.blocks += 1,
                _ => runs.push(CopyRun {
                    to: *block,
                    from,
                    blocks: 1,
                }),
            }
        }
        if runs.is_empty() {
            Source::InPlace
        } else {
            Source::Active(runs)
        }
    }
}

fn cost(source: &Source, wanted: &Wanted, blocks: u32, compressed: u32) -> Cost {
    let bytes = |blocks: u32| u64::from(blocks) * BLOCK_BYTES as u64;
    let write = bytes(wanted.count());
    Cost {
        fetch: if *source == Source::Bundle {
            compressed.into()
        } else {
            0
        },
        copy: if matches!(source, Source::Active(_)) {
            write
        } else {
            0
        },
        write,
        keep: bytes(blocks) - write,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{bundle::Frame, digest::FileDigest};

    /// Frames of these many blocks, each of 100 bytes.
    fn table(blocks: &[u32]) -> FrameTable {
        let frame = |blocks: &u32| Frame {
            blocks: *blocks,
            bytes: 100,
            sha256: FileDigest::of(b""),
        };
        FrameTable::new(blocks.iter().map(frame).collect()).unwrap()
    }

    /// Leaves of blocks whose content is a number.
    fn leaves(contents: &[u8]) -> impl Iterator<Item = BlockHash> {
        contents.iter().map(|content| [*content; 32])
    }

    fn plan(frames: &[u32], new: &[u8], in_place: &[u32], active: &[u8]) -> PayloadPlan {
        let facts = PayloadFacts {
            frames: &table(frames),
            in_place: &in_place.iter().copied().collect(),
            active: &ActiveBlocks::new(leaves(active)),
        };
        PayloadPlan::new(&facts, leaves(new)).unwrap()
    }

    #[test]
    fn blocks_come_from_the_cheapest_place_that_has_them() {
        // Given four frames: in place, in the active slot in two runs, partly nowhere, nowhere
        let plan = plan(
            &[2, 3, 2, 1],
            &[1, 2, 3, 4, 5, 6, 7, 8],
            &[0, 1, 5],
            &[5, 3, 4, 6],
        );
        let run = |to, from, blocks| CopyRun { to, from, blocks };
        let sources: Vec<Source> = plan.steps.iter().map(|step| step.source.clone()).collect();
        assert_eq!(
            sources,
            [
                Source::InPlace,
                Source::Active(vec![run(2, 1, 2), run(4, 0, 1)]),
                Source::Bundle,
                Source::Bundle
            ]
        );
        assert_eq!(
            plan.steps.iter().map(|step| step.written).collect::<Vec<_>>(),
            [0, 3, 1, 1]
        );
        assert_eq!(
            plan.cost,
            Cost {
                fetch: 200,
                copy: 3 * 4096,
                write: 5 * 4096,
                keep: 3 * 4096
            }
        );
        assert_eq!(plan.fetched().collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn an_installation_that_is_complete_costs_nothing() {
        let plan = plan(&[4], &[1, 2, 3, 4], &[0, 1, 2, 3], &[]);
        assert_eq!((plan.cost.fetch, plan.cost.write), (0, 0));
        assert_eq!(plan.steps[0].source, Source::InPlace);
    }

    #[test]
    fn leaves_that_are_not_the_frames_are_refused() {
        let (frames, nothing, active) = (table(&[2]), BlockSet::new(), ActiveBlocks::default());
        let facts = PayloadFacts {
            frames: &frames,
            in_place: &nothing,
            active: &active,
        };
        for contents in [&[1][..], &[1, 2, 3]] {
            assert_eq!(
                PayloadPlan::new(&facts, leaves(contents)),
                Err(PlanError::Leaves(2))
            );
        }
    }

    proptest! {
        /// Carrying a plan out, with contents for blocks, makes the new payload out of any old one.
        #[test]
        fn a_plan_carried_out_gives_the_new_payload(
            sizes in proptest::collection::vec(1..5_u32, 1..8),
            seed in proptest::collection::vec(0..12_u8, 40),
            before in proptest::collection::vec(0..12_u8, 40),
            active in proptest::collection::vec(0..12_u8, 0..40),
        ) {
            let frames = table(&sizes);
            let blocks = usize::try_from(frames.totals().0).unwrap();
            let (new, mut slot) = (seed[..blocks].to_vec(), before[..blocks].to_vec());
            let in_place: Vec<u32> = (0..).zip(new.iter().zip(&slot)).filter(|(_, (new, old))| new == old).map(|(at, _)| at).collect();
            let plan = plan(&sizes, &new, &in_place, &active);
            let mut written = 0;
            for step in &plan.steps {
                let (first, _) = frames.start(step.frame).unwrap();
                let first = usize::try_from(first).unwrap();
                let range = first..first + usize::try_from(sizes[step.frame]).unwrap();
                match &step.source {
                    Source::InPlace => {}
                    Source::Bundle => slot[range.clone()].copy_from_slice(&new[range]),
                    Source::Active(runs) => for run in runs {
                        for step in 0..run.blocks {
                            let at = |block: u32| usize::try_from(block + step).unwrap();
                            slot[at(run.to)] = active[at(run.from)];
                            written += 1;
                        }
                    },
                }
            }
            prop_assert_eq!(slot, new);
            prop_assert_eq!(u64::try_from(written).unwrap() * 4096, plan.cost.copy);
            prop_assert_eq!(plan.cost.write + plan.cost.keep, u64::try_from(blocks).unwrap() * 4096);
        }
    }
}
