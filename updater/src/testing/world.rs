//! A device that boots: firmware, boot loader, `outcrop-init`'s choice of the slot, and the lifecycle.

use std::collections::BTreeMap;

use outcrop_release::{
    bootrec::{
        BadReason, BootRecord, COPY_OFFSETS, LastEnd, RECORD_BYTES, SlotRecord, SlotState, StartReason,
    },
    loader::LoaderConf,
    slot::Slot,
    trust::verify,
    verity::{BLOCK_BYTES, Superblock, root_hash_of_top_block},
};

use crate::{
    disk::{Area, Disk as _},
    install::{InstallError, Installation, read_head},
    lifecycle::{Lifecycle, Next},
    record,
    testing::{
        bundle::{Bundle, MemorySource, Release, trust},
        sim::{Memory, SimDisk, SimFirmware, Unwatched},
    },
};

/// Restarts that the device makes by itself before that counts as a loop.
const MOST_RESTARTS: usize = 12;

/// A device, and the releases that there are.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) firmware: SimFirmware,
    pub(crate) releases: BTreeMap<u64, Release>,
    /// The slot that runs, or ran last.
    running: Slot,
}

/// What starts a device's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loader {
    /// systemd-boot.
    Efi,
    /// U-Boot with Outcrop's script.
    Uboot,
}

/// How a boot came out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Booted {
    pub(crate) slot: Slot,
    /// Number of the release that runs.
    pub(crate) release: u64,
    pub(crate) next: Next,
    /// The first trial that was found to have failed on the way.
    pub(crate) failed: Option<(Slot, BadReason)>,
    pub(crate) notes: Vec<String>,
}

impl World {
    /// Release 1 runs from slot A; releases 2 and 3 can be installed.
    pub(crate) fn flashed() -> Self {
        Self::flashed_for(Loader::Efi)
    }

    /// The same for a board with that loader.
    pub(crate) fn flashed_for(loader: Loader) -> Self {
        let first = Release::new(1);
        let second = first.changed(2);
        let third = second.changed(3);
        let mut disk = match loader {
            Loader::Efi => SimDisk::flashed(&first),
            Loader::Uboot => SimDisk::flashed_for_uboot(&first),
        };
        if let Some(payload) = disk.boot_parts(Slot::A).unwrap() {
            let record = BootRecord::fresh(SlotRecord {
                state: SlotState::Good,
                payload,
                ..SlotRecord::EMPTY
            });
            record::store(&mut disk, &record).unwrap();
        }
        let firmware = SimFirmware::beside(&disk, None);
        Self {
            disk,
            firmware,
            releases: BTreeMap::from([(1, first), (2, second), (3, third)]),
            running: Slot::A,
        }
    }

    /// The same device with another disk and variable: what a power cut left.
    pub(crate) fn with(&self, disk: SimDisk, one_shot: Option<Slot>) -> Self {
        let firmware = SimFirmware::beside(&disk, one_shot);
        Self {
            disk,
            firmware,
            releases: self.releases.clone(),
            running: self.running,
        }
    }

    pub(crate) const fn lifecycle(&mut self, running: Slot) -> Lifecycle<'_, SimDisk, SimFirmware> {
        Lifecycle {
            disk: &mut self.disk,
            control: &mut self.firmware,
            running,
        }
    }

    /// The slot that runs, or ran last.
    pub(crate) const fn running(&self) -> Slot {
        self.running
    }

    /// Installs a release into the slot that doesn't run.
    pub(crate) fn install(&mut self, number: u64) -> Result<(), InstallError> {
        let running = self.running;
        let bundle = Bundle::of(&self.releases[&number]);
        let mut source = MemorySource(bundle.bytes);
        let head = read_head(&mut source).unwrap();
        let release = verify(&head.manifest, &head.signatures, &trust()).unwrap();
        let mut installation = Installation {
            source: &mut source,
            disk: &mut self.disk,
            scratch: &mut Memory::default(),
            running,
            budget: None,
            delta: None,
            looked: Default::default(),
            memory: 0,
            watch: &Unwatched,
        };
        let prepared = installation.prepare(&head, &release)?;
        installation.carry_out(&prepared).map(drop)
    }

    /// The slot that the loader starts by itself.
    pub(crate) fn configured(&self) -> Option<Slot> {
        LoaderConf::parse(self.disk.content(Area::LoaderConfig)).map(|conf| conf.default)
    }

    pub(crate) fn configure(&mut self, slot: Slot) {
        self.disk
            .write(Area::LoaderConfig, 0, &LoaderConf::plain(slot).to_bytes())
            .unwrap();
        self.disk.flush(Area::LoaderConfig).unwrap();
    }

    pub(crate) fn lose_record(&mut self) {
        for at in COPY_OFFSETS {
            self.disk.write(Area::BootRecord, at, &[0; RECORD_BYTES]).unwrap();
        }
        self.disk.flush(Area::BootRecord).unwrap();
    }

    pub(crate) fn spoil_boot_payload(&mut self, slot: Slot) {
        self.disk.flip(Area::Boot(slot), 0);
    }

    /// Switches the device on after a boot that ended as `last`, and follows it until it stays up. What the firmware starts must be
    /// whole; what isn't comes back to the firmware, as it does after a reset.
    pub(crate) fn boot(&mut self, last: LastEnd) -> Result<Booted, String> {
        let (mut failed, mut last) = (None, last);
        for _ in 0..MOST_RESTARTS {
            let entry = self.load()?;
            let Some((slot, release)) = self.start(entry) else {
                last = LastEnd::PowerLost; // nobody was there to leave a trace
                continue;
            };
            self.running = slot;
            let verdict = self
                .lifecycle(slot)
                .after_boot(last)
                .map_err(|error| error.to_string())?;
            // What it counted is put right once.
            self.firmware.started = self.firmware.started.map(|_| StartReason::Unwritten);
            failed = failed.or(verdict.failed);
            match verdict.next {
                Next::Reboot(_) => last = LastEnd::Orderly,
                next => {
                    return Ok(Booted {
                        slot,
                        release,
                        next,
                        failed,
                        notes: verdict.notes,
                    });
                }
            }
        }
        Err("it restarts for ever".to_owned())
    }

    /// What the loader starts.
    fn load(&mut self) -> Result<Slot, String> {
        if !self.disk.is_uboot() {
            let slot = self.firmware.one_shot.take().or_else(|| self.configured());
            return slot.ok_or_else(|| "loader.conf names no slot".to_owned());
        }
        let found = |slot| self.disk.boot_parts(slot).unwrap().unwrap();
        if record::is_lost(&self.disk).unwrap() {
            self.firmware.started = Some(StartReason::Lost);
            let has_superblock = |slot: &Slot| {
                let verity = self.disk.content(Area::Verity(*slot));
                Superblock::parse(verity).is_ok()
            };
            return Ok(Slot::ALL.into_iter().find(has_superblock).unwrap_or(Slot::A));
        }
        let before = record::load(&self.disk).unwrap();
        let is_whole = |slot: Slot| {
            let wanted = before.slot(slot).payload;
            wanted.kernel.len == 0 || found(slot) == wanted
        };
        let start = before.loader_start(is_whole);
        record::store(&mut self.disk, &start.record).unwrap();
        self.firmware.started = Some(start.reason);
        Ok(start.slot)
    }

    /// Starts the boot payload of a slot: the slot whose root its command line names, and the release's number. None when it
    /// doesn't come up.
    fn start(&self, entry: Slot) -> Option<(Slot, u64)> {
        let payload = self.disk.content(Area::Boot(entry));
        let (&number, release) = self
            .releases
            .iter()
            .find(|(_, release)| payload.starts_with(&release.boot))?;
        let wanted = release.root_tree().root_hash();
        let slot = [entry, entry.other()].into_iter().find(|slot| {
            let verity = self.disk.content(Area::Verity(*slot));
            Superblock::parse(verity).is_ok_and(|superblock| {
                let top = verity[BLOCK_BYTES..].first_chunk().unwrap();
                root_hash_of_top_block(&superblock.salt, top) == wanted
            })
        })?;
        let root = &self.disk.content(Area::Root(slot))[..release.root.len()];
        // The kernel would find a damaged block one day: all of it must be right now.
        (root == release.root).then_some((slot, number))
    }
}

/// Where the device ends up when its power is lost again and again.
pub(crate) fn end_of(world: &mut World) -> Booted {
    for _ in 0..20 {
        world.boot(LastEnd::PowerLost).unwrap();
    }
    world.boot(LastEnd::PowerLost).unwrap()
}
