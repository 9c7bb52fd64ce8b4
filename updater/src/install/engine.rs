//! The installation itself: prepare (read, prove, plan), then carry out (write, read back, say so in the boot record).

use outcrop_release::{
    bundle::{FrameTable, Index, MemberName, Place},
    digest::FileDigest,
    manifest::Manifest,
    plan::{ActiveBlocks, BlockSet, ByteRange, Cost, PayloadPlan},
    slot::Slot,
    trust::VerifiedRelease,
    verity::{BLOCK_BYTES, Geometry},
};

use super::{
    error::InstallError,
    head::{Head, Layout},
    source::{Source, fetch},
    trees::{self, Scratch, Tree, Trees, check_digest},
};
use crate::{
    boot_control::efi,
    disk::{Area, Disk},
    record,
};

/// A frame table is read into memory: it may have a frame of 40 bytes for every 8 blocks of the payloads, and this many more.
const MAX_INDEX_BYTES: u64 = 64 << 10;

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

pub(super) struct PlannedPayload {
    pub(super) plan: PayloadPlan,
    pub(super) in_place: BlockSet,
}

/// One payload of the release, where it comes from and where it goes.
pub(super) struct Part<'a> {
    pub(super) name: MemberName,
    pub(super) table: &'a FrameTable,
    pub(super) place: Place,
    pub(super) tree: Tree,
    pub(super) planned: &'a PlannedPayload,
    pub(super) to: Area,
    pub(super) from: Area,
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
        self.check_space(manifest, &layout)?;
        let ahead = layout.index.bytes + layout.verity.bytes;
        self.within_budget(ahead)?;
        let range = ByteRange {
            start: layout.index.start,
            end: layout.index.start + layout.index.bytes,
        };
        let bytes = fetch::<InstallError>(self.source, range)?;
        let found = FileDigest::of(&bytes);
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

    /// Refuses what doesn't fit, and a frame table that would take too much memory.
    fn check_space(&self, manifest: &Manifest, layout: &Layout) -> Result<(), InstallError> {
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
        Ok(())
    }

    fn within_budget(&self, fetch: u64) -> Result<(), InstallError> {
        let cost = Cost {
            fetch,
            ..Cost::default()
        };
        Ok(self.budget.map_or(Ok(()), |allowed| cost.within(allowed))?)
    }

    /// Writes the release to the slot that doesn't run. Afterwards the boot record says that it is there; arming its trial is
    /// another step.
    ///
    /// # Errors
    /// Whatever fails; the boot record then says that the slot is empty, and running it again goes on.
    pub fn carry_out(&mut self, prepared: &Prepared<'_>) -> Result<(), InstallError> {
        let target = self.running.other();
        let mut record = record::load(self.disk)?;
        if record.trial.is_some_and(|trial| trial.slot == target) {
            return Err(InstallError::TrialArmed);
        }
        record.begin_install(target, self.running)?;
        // Also when it says so already: an earlier run may have written that and never flushed it.
        record::store(self.disk, &record)?;
        // What is written to is nothing to fall back to.
        efi::ensure_configured(self.disk, record.default)?;
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
        let boot_blocks = prepared.index.boot.totals().0;
        let payload = self.boot_payload(target, boot_blocks)?;
        self.write_superblock(prepared.trees.root, target)?;
        // Others may have written to the record meanwhile: only this slot's part is ours.
        let mut record = record::load(self.disk)?;
        record.installed(target, prepared.release.digest(), payload)?;
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
}
