//! Updates of a disk image that no machine runs, with the code that devices run: many, and looked at from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt as _, path::Path};

use outcrop_qemu::{
    Disk,
    scenario::{place_of_boot_file, place_of_partition},
    update::{NEW, OLD, image_of, releases},
};
use outcrop_release::{
    arch::Architecture,
    bootrec::LastEnd,
    loader::LOADER_CONF_PATH,
    partition::Partition,
    slot::Slot,
    trust::{Trust, verify},
    units::{Extent, SECTOR},
};
use outcrop_updater::{
    block_disk::{Access, BlockDisk},
    boot_control::{BootControl as _, EfiBootControl},
    init::efi::{VariableStore, Variables},
    install::{FileSource, InstallError, Installation, Stage, Watch, read_head},
    lifecycle::{Lifecycle, Next},
};

const ARCH: Architecture = Architecture::X86_64;
const UPDATES: usize = 20;

/// The firmware's variables, in memory.
#[derive(Debug, Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Variables for Memory {
    fn read(&self, _: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(name).cloned())
    }
}

impl VariableStore for Memory {
    fn write(&mut self, _: &str, name: &str, value: &[u8]) -> io::Result<()> {
        self.0.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, _: &str, name: &str) -> io::Result<()> {
        self.0.remove(name);
        Ok(())
    }
}

struct Unwatched;

impl Watch for Unwatched {
    fn advance(&self, _: Stage, _: u64) {}

    fn checkpoint(&self) -> Result<(), InstallError> {
        Ok(())
    }
}

/// Installs the new release into the slot that doesn't run.
fn install(disk: &mut BlockDisk, running: Slot) {
    let trust = Trust::parse(&std::fs::read_to_string(releases().join("trust.toml")).unwrap()).unwrap();
    let bundle = releases().join(format!("unit-{NEW}-{ARCH}-efi.outcrop"));
    let mut source = FileSource::open(&bundle).unwrap();
    let head = read_head(&mut source).unwrap();
    let release = verify(&head.manifest, &head.signatures, &trust).unwrap();
    let mut scratch = tempfile::tempfile().unwrap();
    let mut installation = Installation {
        source: &mut source,
        disk,
        scratch: &mut scratch,
        running,
        budget: None,
        delta: None,
        looked: Default::default(),
        memory: 0,
        watch: &Unwatched,
    };
    let prepared = installation.prepare(&head, &release).unwrap();
    installation.carry_out(&prepared).unwrap();
}

#[test]
fn after_twenty_updates_every_sector_of_partition_1_is_as_it_was_but_payloads_and_default() {
    let before = image_of(OLD, ARCH);
    let copy = Disk::copy(&before).unwrap();
    let path = copy.raw().unwrap();
    let mut control = EfiBootControl::new(Memory::default());
    let mut running = Slot::A;
    for _ in 0..UPDATES {
        let mut disk = BlockDisk::open(path, Access::Write).unwrap();
        install(&mut disk, running);
        let mut lifecycle = Lifecycle {
            disk: &mut disk,
            control: &mut control,
            running,
        };
        lifecycle.arm().unwrap();
        // The loader starts what the variable names, and deletes it.
        running = lifecycle.control.armed().unwrap().unwrap();
        lifecycle.control.disarm().unwrap();
        lifecycle.running = running;
        assert_eq!(lifecycle.after_boot(LastEnd::Orderly).unwrap().next, Next::Trial);
        assert!(lifecycle.commit().unwrap());
        assert!(lifecycle.fallback_is_whole().unwrap());
    }
    let mut own: Vec<Extent> = Slot::ALL
        .iter()
        .map(|slot| place_of_boot_file(&before, &format!("EFI/Linux/{}", slot.uki_file_name())).unwrap())
        .collect();
    let config = place_of_boot_file(&before, LOADER_CONF_PATH).unwrap().start;
    own.push(Extent {
        start: config,
        len: SECTOR,
    });
    let changed = changed_sectors(&before, path);
    let foreign: Vec<u64> = changed
        .iter()
        .copied()
        .filter(|at| !own.iter().any(|extent| (extent.start..extent.end()).contains(at)))
        .collect();
    assert!(
        foreign.is_empty(),
        "offsets on the disk of sectors that nobody may change: {foreign:?}"
    );
    let payload_b = &own[1];
    assert!(
        changed
            .iter()
            .any(|at| (payload_b.start..payload_b.end()).contains(at)),
        "the comparison sees what did change"
    );
}

/// Offsets of the sectors of partition 1 that differ.
fn changed_sectors(before: &Path, after: &Path) -> Vec<u64> {
    let Extent { start, len } = place_of_partition(before, Partition::Esp).unwrap();
    let end = start + len;
    let (before, after) = (File::open(before).unwrap(), File::open(after).unwrap());
    let mut sectors = Vec::new();
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap().min(left.len());
        let (left, right) = (&mut left[..length], &mut right[..length]);
        before.read_exact_at(left, at).unwrap();
        after.read_exact_at(right, at).unwrap();
        let size = usize::try_from(SECTOR).unwrap();
        for (index, (one, two)) in left.chunks(size).zip(right.chunks(size)).enumerate() {
            if one != two {
                sectors.push(at + index as u64 * SECTOR);
            }
        }
        at += length as u64;
    }
    sectors
}
