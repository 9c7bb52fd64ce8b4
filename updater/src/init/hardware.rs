//! Getting the boot disk: drivers for what is there, then waiting for what comes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use outcrop_release::{partition::Partition, slot::Slot};

use super::{
    disk::{Certainty, Choice, Disks, OutcropDisk, Refusal, Waited, choose, find_outcrop_disks},
    efi::FirmwareFacts,
    kmod::{self, Loader, Modules},
    uevent::{Heard, Uevents},
};
use crate::chain;

/// How long the boot disk is waited for. USB disks behind hubs take up to ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// After so long without a new device no twin of a disk is expected any more. USB storage waits a second by itself.
pub const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The boot disk can't be had.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The kernel's list of disks or its messages can't be read.
    #[error("look for disks")]
    Look(#[source] io::Error),
    /// None, or several.
    #[error("choose the boot disk after {} s", after.as_secs())]
    Choose {
        /// How long devices were waited for.
        after: Duration,
        /// Why.
        source: Refusal,
    },
}

/// Where the modaliases of devices come from.
pub trait Modaliases {
    /// Those of all devices that are there now.
    ///
    /// # Errors
    /// When the kernel's list can't be read.
    fn all(&self) -> io::Result<Vec<String>>;
}

/// `/sys`
#[derive(Debug)]
pub struct SysModaliases(PathBuf);

impl SysModaliases {
    /// Devices below `sys`.
    pub fn new(sys: impl Into<PathBuf>) -> Self {
        Self(sys.into())
    }
}

impl Modaliases for SysModaliases {
    fn all(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        // Features of the processor: not a device of any bus.
        found.extend(read_modalias(&self.0.join("devices/system/cpu")));
        for bus in fs::read_dir(self.0.join("bus"))? {
            let Ok(devices) = fs::read_dir(bus?.path().join("devices")) else {
                continue;
            };
            for device in devices {
                found.extend(read_modalias(&device?.path()));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

fn read_modalias(device: &Path) -> Option<String> {
    let text = fs::read_to_string(device.join("modalias")).ok()?;
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Everything that finding the boot disk touches.
pub struct Search<'a, L> {
    /// The kernel's modules.
    pub modules: &'a mut Modules<L>,
    /// The kernel's messages.
    pub events: &'a mut dyn Uevents,
    /// Devices that are there.
    pub modaliases: &'a dyn Modaliases,
    /// Disks that are there.
    pub disks: &'a dyn Disks,
    /// Time since any fixed moment.
    pub now: &'a dyn Fn() -> Duration,
    /// Takes what should be told and doesn't stop the search.
    pub warn: &'a mut dyn FnMut(&str),
}

impl<L: Loader> Search<'_, L> {
    /// Loads drivers for all devices that are there now.
    ///
    /// # Errors
    /// When they can't be listed.
    pub fn load_drivers(&mut self) -> Result<(), DiskError> {
        for modalias in self.modaliases.all().map_err(DiskError::Look)? {
            self.load_for(&modalias);
        }
        Ok(())
    }

    fn load_for(&mut self, modalias: &str) {
        for error in self.modules.load_for(modalias) {
            if !kmod::is_absent_hardware(&error) {
                (self.warn)(&format!("device {modalias}: {}", chain::describe(&error)));
            }
        }
    }

    /// Waits for the disk that `facts` speak of, loading drivers for whatever appears.
    ///
    /// # Errors
    /// When it doesn't come within [`PATIENCE`], or several would do.
    pub fn boot_disk(&mut self, facts: &FirmwareFacts) -> Result<(OutcropDisk, Certainty), DiskError> {
        let start = (self.now)();
        let mut last_news = start;
        loop {
            let now = (self.now)();
            let (time, quiet) = (now.saturating_sub(start), now.saturating_sub(last_news));
            let waited = match () {
                () if time >= PATIENCE => Waited::Fully,
                () if quiet >= SETTLED_AFTER => Waited::UntilQuiet,
                () => Waited::Briefly,
            };
            let mut disks = find_outcrop_disks(self.disks).map_err(DiskError::Look)?;
            disks.retain(is_shown);
            let firmware = facts.firmware_path.as_ref();
            match choose(&disks, facts.loader_partition, firmware, waited) {
                Ok(Choice::Take(index, certainty)) if index < disks.len() => {
                    return Ok((disks.swap_remove(index), certainty));
                }
                Ok(_) => {}
                Err(source) => return Err(DiskError::Choose { after: time, source }),
            }
            let left = PATIENCE.saturating_sub(time);
            let patience = SETTLED_AFTER.saturating_sub(quiet);
            let patience = if patience.is_zero() {
                left
            } else {
                patience.min(left)
            };
            if self.hear(patience)? {
                last_news = (self.now)();
            }
        }
    }

    /// Handles messages until one is about a disk, or none comes for `patience`. Returns whether any came.
    fn hear(&mut self, patience: Duration) -> Result<bool, DiskError> {
        let mut any = false;
        loop {
            match self.events.next(patience).map_err(DiskError::Look)? {
                Heard::Nothing => return Ok(any),
                Heard::Lost => {
                    self.load_drivers()?;
                    return Ok(true);
                }
                Heard::Event(event) => {
                    any = true;
                    if let Some(modalias) = &event.modalias {
                        self.load_for(modalias);
                    }
                    if event.is_block {
                        return Ok(true);
                    }
                }
            }
        }
    }
}

/// Whether the kernel shows the partitions of both slots already.
fn is_shown(disk: &OutcropDisk) -> bool {
    Slot::ALL
        .into_iter()
        .flat_map(|slot| [Partition::Root(slot), Partition::Verity(slot)])
        .all(|partition| disk.device(partition).is_some())
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::VecDeque};

    use super::*;
    use crate::init::{
        disk::{Disk, Location},
        efi::{DevicePath, Node},
        kmod::ModuleIndex,
        uevent::Uevent,
    };

    /// A machine: at given times (seconds) disks appear, each after its message.
    struct Machine {
        clock: Cell<Duration>,
        disks: Vec<(u64, Disk, Vec<u8>)>,
    }

    impl Disks for Machine {
        fn list(&self) -> io::Result<Vec<Disk>> {
            let now = self.clock.get().as_secs();
            let there = self.disks.iter().filter(|(at, ..)| *at <= now);
            Ok(there.map(|(_, disk, _)| disk.clone()).collect())
        }

        fn read_at(&self, device: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let (.., bytes) = self
                .disks
                .iter()
                .find(|(_, disk, _)| disk.name == device)
                .unwrap();
            let start = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
            Ok(())
        }
    }

    struct Messages<'a> {
        clock: &'a Cell<Duration>,
        at: VecDeque<(u64, Uevent)>,
    }

    impl Uevents for Messages<'_> {
        fn next(&mut self, patience: Duration) -> io::Result<Heard> {
            let now = self.clock.get();
            match self.at.front() {
                Some((at, _)) if Duration::from_secs(*at) <= now + patience => {
                    let (at, event) = self.at.pop_front().unwrap();
                    self.clock.set(now.max(Duration::from_secs(at)));
                    Ok(Heard::Event(event))
                }
                _ => {
                    self.clock.set(now + patience);
                    Ok(Heard::Nothing)
                }
            }
        }
    }

    struct NoDevices;

    impl Modaliases for NoDevices {
        fn all(&self) -> io::Result<Vec<String>> {
            Ok(vec!["pci:v1".to_owned()])
        }
    }

    #[derive(Default)]
    struct Loaded(Vec<String>);

    impl Loader for Loaded {
        fn load(&mut self, path: &str) -> io::Result<()> {
            self.0.push(path.to_owned());
            Ok(())
        }
    }

    fn disk(name: &str, pci: u8) -> (Disk, Vec<u8>) {
        let labels: Vec<(u32, &str)> = Partition::ALL.iter().map(|p| (p.number(), p.label())).collect();
        let bytes = crate::init::disk::test_table(&labels);
        let disk = Disk {
            name: name.to_owned(),
            sector_bytes: 512,
            bytes: bytes.len() as u64,
            location: Location {
                pci: vec![(pci, 0)],
                ..Location::default()
            },
            partitions: (1..=9)
                .map(|number| (number, format!("{name}{number}")))
                .collect(),
        };
        (disk, bytes)
    }

    fn facts(pci: Option<u8>) -> FirmwareFacts {
        FirmwareFacts {
            loader_partition: Some(uuid::Uuid::from_u128(1)),
            firmware_path: pci
                .map(|device| DevicePath::new(vec![Node::PciRoot(None), Node::Pci { device, function: 0 }])),
            ..FirmwareFacts::default()
        }
    }

    /// Result, and when it came.
    fn search(
        disks: &[(u64, &str, u8)],
        facts: &FirmwareFacts,
    ) -> (Result<(String, Certainty), DiskError>, u64) {
        let disks: Vec<_> = disks
            .iter()
            .map(|(at, name, pci)| {
                let (disk, bytes) = disk(name, *pci);
                (*at, disk, bytes)
            })
            .collect();
        let block = |at: u64| {
            (
                at,
                Uevent {
                    modalias: None,
                    is_block: true,
                },
            )
        };
        let at = disks.iter().map(|(at, ..)| block(*at)).collect();
        let machine = Machine {
            clock: Cell::default(),
            disks,
        };
        let mut modules = Modules::new(ModuleIndex::default().into(), Loaded::default());
        let found = Search {
            modules: &mut modules,
            events: &mut Messages {
                clock: &machine.clock,
                at,
            },
            modaliases: &NoDevices,
            disks: &machine,
            now: &|| machine.clock.get(),
            warn: &mut |text| panic!("{text}"),
        }
        .boot_disk(facts);
        (
            found.map(|(disk, how)| (disk.disk.name, how)),
            machine.clock.get().as_secs(),
        )
    }

    #[test]
    fn a_disk_at_the_firmwares_place_is_taken_the_moment_it_comes() {
        let (found, at) = search(&[(0, "vda", 3), (7, "sda", 5)], &facts(Some(5)));
        assert_eq!(found.unwrap(), ("sda".to_owned(), Certainty::FirmwarePath));
        assert_eq!(at, 7);
    }

    #[test]
    fn a_lone_disk_whose_place_is_unknown_is_taken_when_things_are_quiet() {
        let (found, at) = search(&[(3, "sda", 5)], &facts(None));
        assert_eq!(found.unwrap(), ("sda".to_owned(), Certainty::Only));
        assert_eq!(at, 5);
    }

    #[test]
    fn a_disk_elsewhere_is_not_taken_before_the_patience_ends() {
        let (found, at) = search(&[(0, "vda", 3)], &facts(Some(5)));
        assert_eq!(found.unwrap(), ("vda".to_owned(), Certainty::OnlyElsewhere));
        assert_eq!(at, PATIENCE.as_secs());
    }

    #[test]
    fn a_twin_that_comes_while_waiting_is_noticed_and_refused() {
        let (found, _) = search(&[(0, "vda", 3), (1, "vdb", 4)], &facts(None));
        let error = chain::describe(&found.unwrap_err());
        assert!(
            error.contains("vda, vdb would all do as the boot disk"),
            "{error}"
        );
    }

    #[test]
    fn no_disk_is_an_error_only_after_all_patience() {
        let (found, at) = search(&[], &facts(None));
        assert!(matches!(
            found.unwrap_err(),
            DiskError::Choose {
                source: Refusal::NoDisk { .. },
                ..
            }
        ));
        assert_eq!(at, PATIENCE.as_secs());
    }

    #[test]
    fn a_disk_that_comes_late_is_still_taken() {
        let (found, at) = search(&[(29, "sda", 5)], &facts(Some(5)));
        assert_eq!(found.unwrap().0, "sda");
        assert_eq!(at, 29);
    }

    #[test]
    fn a_device_that_appears_gets_its_driver() {
        let clock = Cell::new(Duration::ZERO);
        let event = Uevent {
            modalias: Some("usb:x".to_owned()),
            is_block: false,
        };
        let index = ModuleIndex::parse("u.ko:\np.ko:\n", "alias usb:* u\nalias pci:* p\n", "", "");
        let mut modules = Modules::new(index.into(), Loaded::default());
        let machine = Machine {
            clock: Cell::default(),
            disks: vec![],
        };
        let mut search = Search {
            modules: &mut modules,
            events: &mut Messages {
                clock: &clock,
                at: [(0, event)].into(),
            },
            modaliases: &NoDevices,
            disks: &machine,
            now: &|| clock.get(),
            warn: &mut |text| panic!("{text}"),
        };
        search.load_drivers().unwrap();
        assert!(search.hear(Duration::from_secs(1)).unwrap());
        assert_eq!(modules.loader().0, ["p.ko", "u.ko"]);
    }

    #[test]
    fn modaliases_of_buses_and_of_the_processor_are_listed_once() {
        let sys = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("bus/pci/devices/0000:00:01.0/modalias", "pci:v1\n"),
            ("bus/pci/devices/0000:00:02.0/modalias", "pci:v1\n"),
            ("bus/usb/devices/1-0:1.0/modalias", "usb:v2\n"),
            ("bus/acpi/devices/LNX/modalias", "\n"),
            ("devices/system/cpu/modalias", "cpu:type\n"),
        ] {
            let path = sys.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(
            SysModaliases::new(sys.path()).all().unwrap(),
            ["cpu:type", "pci:v1", "usb:v2"]
        );
    }
}
