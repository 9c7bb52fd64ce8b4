//! What an installation needs to know before it can be planned, asked for in the right order and counted.
//!
//! ```text
//! top of the index ─→ what both slots hold ─→ trees, from their root hashes down ─→ blocks in place, to copy, missing
//!                        ─→ pages of the index for the missing ones ─→ plan, cost
//! ```
//! Nothing here reads by itself: [`Bundle`], [`Slots`] and [`TreeStore`] do, a device's or those that stand for one. What is fetched is
//! counted before, and refused when it would be more than allowed.

mod delta;
mod descend;
mod error;
mod frames;
mod in_place;
mod known;
mod ledger;
mod patches;
mod proven;
mod sides;
#[cfg(test)]
mod tests;

pub use self::{
    delta::UsableDelta,
    error::SurveyError,
    patches::Patches,
    proven::{Leaves, ProvenTree},
    sides::{Block, Bundle, Side, Slots, TakePart, TreeStore},
};
use self::{
    known::Known,
    ledger::{Ledger, Part},
};
use super::{ActiveBlocks, BlockSet, ByteRange, Cost, Needs, PayloadPlan};
use crate::{
    bundle::{Head, Layout, PayloadName, PlacedFrame, TopTable},
    manifest::{Manifest, Target},
    verity::{BLOCK_BYTES, Geometry, GeometryError},
};

/// Asks what has to be known.
pub struct Survey<'a, E> {
    /// What the release is.
    pub manifest: &'a Manifest,
    /// Where its members lie.
    pub layout: Layout,
    /// The release.
    pub bundle: &'a mut dyn Bundle<E>,
    /// What there is already.
    pub slots: &'a dyn Slots<E>,
    /// Where its hash trees are kept.
    pub trees: &'a mut dyn TreeStore<E>,
    /// How many bytes may be fetched; none means any number.
    pub budget: Option<u64>,
    /// A delta for this release, if there is one.
    pub delta: Option<UsableDelta<'a>>,
    /// What was fetched to find it, or to find none.
    pub looked: Looked,
}

/// What looking for a delta fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looked {
    /// Bytes.
    pub bytes: u64,
    /// Requests that brought them.
    pub requests: u64,
}

impl Looked {
    /// Counts a range that is asked for, and hands it on.
    pub const fn count(&mut self, range: ByteRange) -> ByteRange {
        self.bytes += range.end.saturating_sub(range.start);
        self.requests += 1;
        range
    }
}

/// What was found out about a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// What installing it costs; all but the frames has been fetched.
    pub cost: Cost,
    /// Where the index's pages are; none as long as nobody needed them.
    pub top: Option<TopTable>,
    /// The boot payload.
    pub boot: PlannedPayload,
    /// The root file system.
    pub root: PlannedPayload,
}

/// What was found out about a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPayload {
    /// Its hash tree.
    pub tree: ProvenTree,
    /// Blocks of the inactive slot that have the new content already.
    pub in_place: BlockSet,
    /// What is done for the others.
    pub plan: PayloadPlan,
    /// What is patched of those that are planned elsewhere.
    pub patches: Patches,
    /// Blocks of patched groups that are in place by what the slot says of itself: who writes the group looks.
    pub kept: BlockSet,
}

/// The shape of a payload's tree.
///
/// # Errors
/// When the payload can't have one.
pub fn geometry(target: &Target) -> Result<Geometry, GeometryError> {
    Geometry::new(target.bytes / BLOCK_BYTES as u64)
}

/// A payload of a release.
#[must_use]
pub const fn target(manifest: &Manifest, payload: PayloadName) -> &Target {
    match payload {
        PayloadName::Boot => &manifest.boot,
        PayloadName::Root => &manifest.root,
    }
}

impl<E: From<SurveyError>> Survey<'_, E> {
    /// Asks everything and plans. Fetches all of the bundle that is needed but for the frames.
    ///
    /// # Errors
    /// When the bundle isn't what its manifest says, more would be fetched than is allowed, or something can't be read.
    pub fn plan(mut self, head: &Head) -> Result<Surveyed, E> {
        let mut ledger = Ledger::begin(head, self.budget)?;
        ledger.fetched(Part::Delta, self.looked.bytes, self.looked.requests)?;
        self.check_lengths()?;
        let mut top = None;
        if let Some(bytes) = head.bytes(self.top_range()) {
            top = Some(TopTable::decode(bytes, self.manifest).map_err(SurveyError::from)?);
        }
        let known = self.known(&mut ledger)?;
        let made = self.made(&known, &mut ledger)?;
        let (mut boot_tree, mut root_tree) = self.descend(&known, &made, &mut ledger)?;
        let boot_patches = self.patches(&made, &mut boot_tree, &known, &mut top, &mut ledger)?;
        let root_patches = self.patches(&made, &mut root_tree, &known, &mut top, &mut ledger)?;
        let boot_kept = self.count_patches(&made, &boot_tree, &boot_patches, &known, &mut ledger)?;
        let root_kept = self.count_patches(&made, &root_tree, &root_patches, &known, &mut ledger)?;
        let boot_in_place = self.boot_in_place(&boot_tree, &known)?;
        let root_in_place = self.root_in_place(&root_tree, &mut ledger)?;
        let boot_needs = self.needs(&boot_tree, &boot_in_place, &known.boot_blocks())?;
        let root_needs = self.needs(&root_tree, &root_in_place, &known.active)?;
        drop(known);
        let wanted = [
            (PayloadName::Boot, &boot_needs.missing),
            (PayloadName::Root, &root_needs.missing),
        ];
        let [boot_frames, root_frames] = self.frames(&mut top, wanted, &mut ledger)?;
        let boot = PlannedPayload {
            tree: boot_tree,
            plan: PayloadPlan::new(boot_needs, boot_frames).map_err(SurveyError::from)?,
            in_place: boot_in_place,
            patches: boot_patches,
            kept: boot_kept,
        };
        let root = PlannedPayload {
            tree: root_tree,
            plan: PayloadPlan::new(root_needs, root_frames).map_err(SurveyError::from)?,
            in_place: root_in_place,
            patches: root_patches,
            kept: root_kept,
        };
        self.count(&boot, &mut ledger)?;
        self.count(&root, &mut ledger)?;
        Ok(Surveyed {
            cost: ledger.cost(),
            top,
            boot,
            root,
        })
    }

    /// The frames of blocks that turned out to be missing, ascending: their leaves become known, their pages are fetched. What was
    /// `planned` before stays as it is. `spent` is what was counted so far; what this takes, frames that weren't planned included, is
    /// added to it, and held against the budget.
    ///
    /// # Errors
    /// As for [`Survey::plan`].
    pub fn late_frames(
        &mut self,
        top: Option<&TopTable>,
        tree: &mut ProvenTree,
        blocks: &BlockSet,
        planned: &[PlacedFrame],
        spent: &mut Cost,
    ) -> Result<Vec<PlacedFrame>, E> {
        let mut ledger = Ledger::going_on(*spent, self.budget);
        self.learn(tree, blocks, &mut ledger)?;
        let nothing = BlockSet::new();
        let wanted = PayloadName::ALL.map(|payload| {
            (
                payload,
                if payload == tree.payload() {
                    blocks
                } else {
                    &nothing
                },
            )
        });
        let mut top = top.cloned();
        let [boot, root] = self.frames(&mut top, wanted, &mut ledger)?;
        let frames = match tree.payload() {
            PayloadName::Boot => boot,
            PayloadName::Root => root,
        };
        let place = self.layout.frames(tree.payload());
        let is_new = |frame: &&PlacedFrame| planned.iter().all(|planned| planned.number != frame.number);
        let ranges: Vec<ByteRange> = frames
            .iter()
            .filter(is_new)
            .map(|frame| place.range(frame.start, frame.end()))
            .collect();
        ledger.fetch(Part::Frames, &ranges)?;
        *spent = ledger.cost();
        Ok(frames)
    }

    /// Refuses members whose lengths can't be, before anything is fetched or allocated for them.
    fn check_lengths(&self) -> Result<(), SurveyError> {
        TopTable::check_length(self.manifest)?;
        let (boot, root) = (geometry(&self.manifest.boot)?, geometry(&self.manifest.root)?);
        let (expected, found) = (
            boot.partition_bytes() + root.partition_bytes(),
            self.layout.verity.bytes,
        );
        if expected == found {
            Ok(())
        } else {
            Err(SurveyError::TreeLength { expected, found })
        }
    }

    /// Where the index's top table lies.
    fn top_range(&self) -> ByteRange {
        self.layout.index.range(0, self.manifest.members.index_top.bytes)
    }

    /// The index's top table, fetched when somebody needs it and it isn't there yet.
    fn top<'t>(&mut self, top: &'t mut Option<TopTable>, ledger: &mut Ledger) -> Result<&'t TopTable, E> {
        if top.is_none() {
            let range = self.top_range();
            ledger.fetch(Part::Index, &[range])?;
            self.bundle.fetch(&[range], &mut |_, bytes| {
                *top = Some(TopTable::decode(bytes, self.manifest).map_err(SurveyError::from)?);
                Ok(())
            })?;
        }
        Ok(top
            .as_ref()
            .ok_or(SurveyError::Index(crate::bundle::IndexError::Form))?)
    }

    /// What the blocks of a payload need.
    fn needs(&self, tree: &ProvenTree, in_place: &BlockSet, active: &ActiveBlocks) -> Result<Needs, E> {
        let mut leaves = Leaves::new(tree, self.trees);
        Needs::new(in_place, active, leaves.all())
    }

    /// Counts what a payload's plan does.
    fn count(&self, payload: &PlannedPayload, ledger: &mut Ledger) -> Result<(), E> {
        let place = self.layout.frames(payload.tree.payload());
        let ranges: Vec<ByteRange> = payload
            .plan
            .frames
            .iter()
            .map(|frame| place.range(frame.start, frame.end()))
            .collect();
        ledger.fetch(Part::Frames, &ranges)?;
        ledger.count(payload);
        Ok(())
    }
}
