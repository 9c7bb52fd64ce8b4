//! What was and will be fetched, counted before it is.

use super::{PlannedPayload, SurveyError};
use crate::{
    bundle::Head,
    plan::{ByteRange, Cost, Overheads, requests},
    verity::BLOCK_BYTES,
};

/// What is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Index,
    Tree,
    Frames,
    Delta,
}

/// Keeps count.
#[derive(Debug)]
pub(super) struct Ledger {
    cost: Cost,
    budget: Option<u64>,
}

impl Ledger {
    /// Goes on from what was counted before.
    pub(super) const fn going_on(cost: Cost, budget: Option<u64>) -> Self {
        Self { cost, budget }
    }

    /// Begins with the bundle's head, which was fetched.
    pub(super) fn begin(head: &Head, budget: Option<u64>) -> Result<Self, SurveyError> {
        let mut ledger = Self {
            cost: Cost::default(),
            budget,
        };
        // Each range was only known from the one before.
        for range in head.fetched() {
            ledger.fetch(Part::Head, &[*range])?;
        }
        Ok(ledger)
    }

    pub(super) const fn cost(&self) -> Cost {
        self.cost
    }

    /// Counts ranges that are asked for together.
    pub(super) fn fetch(&mut self, part: Part, ranges: &[ByteRange]) -> Result<(), SurveyError> {
        let asked = requests(ranges, &Overheads::SEVERAL);
        let bytes: u64 = asked.iter().flatten().map(ByteRange::bytes).sum();
        self.fetched(part, bytes, asked.len() as u64)
    }

    /// Counts bytes that so many requests bring.
    pub(super) fn fetched(&mut self, part: Part, bytes: u64, requests: u64) -> Result<(), SurveyError> {
        self.cost.requests += requests;
        let fetch = &mut self.cost.fetch;
        let counted = match part {
            Part::Head => &mut fetch.head,
            Part::Index => &mut fetch.index,
            Part::Tree => &mut fetch.tree,
            Part::Frames => &mut fetch.frames,
            Part::Delta => &mut fetch.delta,
        };
        *counted += bytes;
        Ok(self.budget.map_or(Ok(()), |allowed| self.cost.within(allowed))?)
    }

    /// Counts blocks that are patched, read from the running slot about once each.
    pub(super) const fn patched(&mut self, blocks: u64) {
        self.read(blocks);
        self.cost.write += blocks * BLOCK_BYTES as u64;
    }

    /// Counts blocks that are copied from the running slot.
    pub(super) const fn copied(&mut self, blocks: u64) {
        self.read(blocks);
        self.cost.copy += blocks * BLOCK_BYTES as u64;
        self.cost.write += blocks * BLOCK_BYTES as u64;
    }

    /// Counts blocks of patched groups that are in place, and read to be proven.
    pub(super) const fn kept(&mut self, blocks: u64) {
        self.read(blocks);
        self.cost.keep += blocks * BLOCK_BYTES as u64;
    }

    /// Counts blocks that are read to be compared.
    pub(super) const fn read(&mut self, blocks: u64) {
        self.cost.read += blocks * BLOCK_BYTES as u64;
    }

    /// Counts what a payload's plan copies, writes and leaves.
    pub(super) fn count(&mut self, payload: &PlannedPayload) {
        let copied = payload.plan.copied();
        let written = copied + payload.plan.unpacked(&payload.in_place);
        self.read(copied);
        self.cost.read += payload.plan.prefix_bytes();
        self.cost.copy += copied * BLOCK_BYTES as u64;
        self.cost.write += written * BLOCK_BYTES as u64;
        self.cost.keep += payload.in_place.len() * BLOCK_BYTES as u64;
    }
}
