//! A machine whose disks come when they like.

use std::{cell::Cell, collections::VecDeque};

use outcrop_release::partition::Partition;

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
    let labels: Vec<(u32, &str)> = Partition::of(outcrop_release::board::Board::Efi)
        .map(|p| (p.number(), p.label()))
        .collect();
    let bytes = crate::gpt::disk_with(&labels);
    let disk = Disk {
        name: name.to_owned(),
        shape: crate::gpt::Shape {
            sector_bytes: 512,
            bytes: bytes.len() as u64,
        },
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
fn search(disks: &[(u64, &str, u8)], facts: &FirmwareFacts) -> (Result<(String, Certainty), DiskError>, u64) {
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
fn a_device_that_never_stops_talking_doesnt_hold_up_the_end() {
    let clock = Cell::new(Duration::ZERO);
    let chatter = (0..1000).map(|second| (second, Uevent::default())).collect();
    let mut modules = Modules::new(ModuleIndex::default().into(), Loaded::default());
    let machine = Machine {
        clock: Cell::default(),
        disks: vec![],
    };
    let found = Search {
        modules: &mut modules,
        events: &mut Messages {
            clock: &clock,
            at: chatter,
        },
        modaliases: &NoDevices,
        disks: &machine,
        now: &|| clock.get(),
        warn: &mut |text| panic!("{text}"),
    }
    .boot_disk(&facts(None));
    assert!(found.is_err());
    assert!(clock.get() <= PATIENCE + SETTLED_AFTER);
}

#[test]
fn a_disk_that_isnt_outcrops_is_named_with_the_reason() {
    let (mut disk, _) = disk("sda", 5);
    let bytes = crate::gpt::disk_with(&[(1, "EFI")]);
    disk.shape.bytes = bytes.len() as u64;
    let machine = Machine {
        clock: Cell::default(),
        disks: vec![(0, disk, bytes)],
    };
    let mut modules = Modules::new(ModuleIndex::default().into(), Loaded::default());
    let found = Search {
        modules: &mut modules,
        events: &mut Messages {
            clock: &machine.clock,
            at: VecDeque::new(),
        },
        modaliases: &NoDevices,
        disks: &machine,
        now: &|| machine.clock.get(),
        warn: &mut |text| panic!("{text}"),
    }
    .boot_disk(&facts(None));
    let text = chain::describe(&found.unwrap_err());
    assert!(
        text.contains("(passed over sda: no partition outcrop-esp, "),
        "{text}"
    );
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
