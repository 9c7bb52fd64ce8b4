//! The installation itself: prepare (read, prove, plan), then carry out (write, read back, say so in the boot record).

use outcrop_release::{
    bundle::{Head, Layout, PayloadName, Place},
    manifest::Manifest,
    plan::{
        BlockSet, Cost,
        survey::{Looked, PlannedPayload, ProvenTree, Survey, Surveyed, geometry},
    },
    slot::Slot,
    trust::VerifiedRelease,
    verity::{BLOCK_BYTES, Superblock},
};

use super::{
    delta::FoundDelta,
    error::InstallError,
    reading::SlotReader,
    scratch::Scratch,
    sides::{BothSlots, FromSource, Kept},
    source::Source,
};
use crate::{
    boot_control::efi,
    disk::{Area, Disk},
    record,
};

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

    /// So many blocks couldn't be made from what the running slot has in `area`: `bytes` more than planned are fetched for them.
    fn replaced(&self, _area: Area, _blocks: u64, _bytes: u64) {}

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
    /// A delta for the release, if one was found.
    pub delta: Option<&'a mut FoundDelta<S>>,
    /// What looking for it fetched.
    pub looked: Looked,
    /// Memory that packing a kernel may take, in bytes.
    pub memory: u64,
    /// Who is told.
    pub watch: &'a dyn Watch,
}

/// A release that can be installed, and what that costs. Nothing has changed yet.
pub struct Prepared<'a> {
    release: &'a VerifiedRelease,
    pub(super) layout: Layout,
    pub(super) surveyed: Surveyed,
}

/// One payload of the release, where it comes from and where it goes.
pub(super) struct Part<'a> {
    pub(super) payload: PayloadName,
    pub(super) manifest: &'a Manifest,
    pub(super) place: Place,
    pub(super) planned: &'a PlannedPayload,
    /// Its tree, as far as it is known by now.
    pub(super) tree: ProvenTree,
    /// Blocks that this run has read from the medium, found right, and not written since.
    pub(super) on_medium: BlockSet,
    pub(super) to: Area,
    pub(super) from: Area,
}

impl Prepared<'_> {
    /// What it costs, with what is fetched already: all but the frames.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        self.surveyed.cost
    }

    pub(super) const fn manifest(&self) -> &Manifest {
        self.release.manifest()
    }

    /// A payload of the release, for a device that runs `running`.
    fn part(&self, payload: PayloadName, running: Slot) -> Part<'_> {
        let target = running.other();
        let (planned, to, from) = match payload {
            PayloadName::Boot => (&self.surveyed.boot, Area::Boot(target), Area::Boot(running)),
            PayloadName::Root => (&self.surveyed.root, Area::Root(target), Area::Root(running)),
        };
        Part {
            payload,
            manifest: self.manifest(),
            place: self.layout.frames(payload),
            planned,
            tree: planned.tree.clone(),
            on_medium: planned.in_place.clone(),
            to,
            from,
        }
    }
}

impl Part<'_> {
    /// The block that the payload's tree begins with.
    pub(super) fn superblock(&self) -> [u8; BLOCK_BYTES] {
        let superblock = Superblock {
            uuid: self.manifest.verity.uuid,
            geometry: self.tree.geometry(),
            salt: self.manifest.verity.salt,
        };
        let mut block = [0; BLOCK_BYTES];
        for (place, byte) in block.iter_mut().zip(superblock.to_bytes()) {
            *place = byte;
        }
        block
    }
}

impl<S: Source, D: Disk, C: Scratch> Installation<'_, S, D, C> {
    /// Compares what both slots hold with the release, and plans; of the bundle only what that takes is fetched. Changes nothing on
    /// the disk.
    ///
    /// # Errors
    /// When the bundle isn't what was signed, more would be fetched than is allowed, or something can't be read.
    pub fn prepare<'r>(
        &mut self,
        head: &Head,
        release: &'r VerifiedRelease,
    ) -> Result<Prepared<'r>, InstallError> {
        let manifest = release.manifest();
        let layout = head.layout(&manifest.members);
        self.check_space(manifest)?;
        let surveyed = self.survey(manifest, layout, self.budget, |survey| survey.plan(head))?;
        Ok(Prepared {
            release,
            layout,
            surveyed,
        })
    }

    /// Has something asked of the bundle and both slots.
    pub(super) fn survey<T>(
        &mut self,
        manifest: &Manifest,
        layout: Layout,
        budget: Option<u64>,
        ask: impl FnOnce(Survey<'_, InstallError>) -> Result<T, InstallError>,
    ) -> Result<T, InstallError> {
        let reader = SlotReader {
            disk: &*self.disk,
            watch: self.watch,
        };
        ask(Survey {
            manifest,
            layout,
            bundle: &mut FromSource {
                source: &mut *self.source,
                watch: self.watch,
            },
            slots: &BothSlots {
                reader,
                running: self.running,
                verity: manifest.verity,
            },
            trees: &mut Kept::new(&*self.scratch, manifest)?,
            budget,
            delta: self.delta.as_deref().map(|delta| delta.usable(self.memory)),
            looked: self.looked,
        })
    }

    pub(super) const fn reader(&self) -> SlotReader<'_, D> {
        SlotReader {
            disk: &*self.disk,
            watch: self.watch,
        }
    }

    /// Refuses what doesn't fit.
    fn check_space(&self, manifest: &Manifest) -> Result<(), InstallError> {
        let target = self.running.other();
        for (area, needed) in [
            (Area::Boot(target), manifest.boot.bytes),
            (Area::Root(target), manifest.root.bytes),
            (Area::Verity(target), geometry(&manifest.root)?.partition_bytes()),
        ] {
            let space = self.disk.bytes(area);
            if needed > space {
                return Err(InstallError::Space { area, space, needed });
            }
        }
        Ok(())
    }

    /// Writes the release to the slot that doesn't run. Afterwards the boot record says that it is there; arming its trial is
    /// another step. What it cost: as planned, or more where the running slot is worn or a delta damaged.
    ///
    /// # Errors
    /// Whatever fails, and what would go over the budget; the boot record then says that the slot is empty, and running it again goes on.
    pub fn carry_out(&mut self, prepared: &Prepared<'_>) -> Result<Cost, InstallError> {
        let done = self.write_and_check(prepared);
        if done.is_err() {
            let target = self.running.other();
            // What was fetched is paid for: it is there for the next run, power cut or not. Why this one ended is the better error.
            for area in [Area::Boot(target), Area::Root(target)] {
                let _ = self.disk.flush(area);
            }
        }
        done
    }

    fn write_and_check(&mut self, prepared: &Prepared<'_>) -> Result<Cost, InstallError> {
        let target = self.running.other();
        let mut record = record::load(self.disk)?;
        if record.trial.is_some_and(|trial| trial.slot == target) {
            return Err(InstallError::TrialArmed);
        }
        let held = record.slot(target).payload;
        record.begin_install(target, self.running)?;
        // Also when it says so already: an earlier run may have written that and never flushed it.
        record::store(self.disk, &record)?;
        // What is written to is nothing to fall back to.
        efi::ensure_configured(self.disk, record.default)?;
        self.clear_superblock(target)?;
        let [mut boot, mut root] = PayloadName::ALL.map(|payload| prepared.part(payload, self.running));
        let mut spent = prepared.cost();
        for part in [&mut boot, &mut root] {
            self.write_part(prepared, part, &mut spent)?;
        }
        let boot_blocks = boot.tree.geometry().data_blocks();
        self.write_tree(&root, Area::Verity(target))?;
        let cleared = self.clear_rest(Area::Boot(target), boot_blocks, &held)?;
        for area in [Area::Boot(target), Area::Root(target), Area::Verity(target)] {
            self.disk.flush(area)?;
        }
        let payload = self.check_boot(&boot, target)?;
        self.check_part(&root)?;
        self.check_rest(Area::Boot(target), &cleared)?;
        self.check_tree(&root, Area::Verity(target))?;
        // The superblock makes the slot's root whole.
        self.write_proven(Area::Verity(target), &root.superblock())?;
        // Others may have written to the record meanwhile: only this slot's part is ours.
        let mut record = record::load(self.disk)?;
        record.installed(target, prepared.release.digest(), payload)?;
        record::store(self.disk, &record)?;
        Ok(spent)
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
}
