//! Disks in files: what runs lies on one, with a real FAT and a real tree, and the other holds rubbish.

use std::path::PathBuf;

use outcrop_release::{
    bootrec::{COPY_OFFSETS, SlotRecord, SlotState, Trial, TrialStage},
    fat::{FatPlan, FileSpec, Volume},
    partition::Partition,
    units::MIB,
    verity::{Salt, TreeBuilder},
};
use tempfile::TempDir;

use super::*;
use crate::gpt::disk_of;

const SECTOR: u64 = 512;
/// Partitions of the disk that runs: numbers, labels, first MiB, length in MiB.
const PARTITIONS: [(u32, &str, u64, u64); 7] = [
    (1, "outcrop-esp", 1, 80),
    (2, "outcrop-bootrec", 81, 16),
    (5, "outcrop-root-a", 97, 8),
    (6, "outcrop-verity-a", 105, 1),
    (7, "outcrop-root-b", 106, 8),
    (8, "outcrop-verity-b", 114, 1),
    (9, "outcrop-data", 115, 40),
];
const DISK_MIB: u64 = 160;

struct Made {
    folder: TempDir,
    record: BootRecord,
}

fn write(file: &File, at: u64, bytes: &[u8]) {
    file.write_all_at(bytes, at).unwrap();
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let placed = PARTITIONS.map(|(number, label, start, len)| {
            let sectors = MIB / SECTOR;
            (number, label, start * sectors, (start + len) * sectors - 1)
        });
        let head = disk_of(DISK_MIB * MIB / SECTOR, &placed);
        let from = File::create(folder.path().join("from")).unwrap();
        write(&from, 0, &head);
        let volume = Volume {
            bytes: 80 * MIB,
            serial: 1,
            label: "ESP",
            disk_offset: MIB,
        };
        let files = [FileSpec {
            path: FILE_NAME,
            len: 4096,
        }];
        let fat = FatPlan::new(&volume, &files).unwrap();
        for (at, bytes) in fat.metadata() {
            write(&from, MIB + at, &bytes);
        }
        write(&from, MIB + fat.extent(FILE_NAME).unwrap().start, &[b'\n'; 4096]);
        let root = vec![0x5a; 2 << 20];
        let mut builder = TreeBuilder::new(Uuid::from_u128(7), Salt::from_bytes([3; 32]));
        builder.push(&root);
        let tree = builder.finish().unwrap();
        for (slot, start) in [(Slot::A, 97), (Slot::B, 106)] {
            let _ = slot;
            write(&from, start * MIB, &root);
            write(&from, (start + 8) * MIB, &tree.to_bytes());
        }
        let other = File::create(folder.path().join("to")).unwrap();
        write(&other, 0, &vec![0xa5; usize::try_from(200 * MIB).unwrap()]);
        let record = BootRecord::fresh(SlotRecord {
            state: SlotState::Good,
            attempts: 2,
            ..SlotRecord::EMPTY
        });
        Self { folder, record }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn to(&self) -> File {
        File::open(self.path("to")).unwrap()
    }

    fn run(&self, listen: &mut dyn Listen) -> Result<ToDiskReport, ToDiskError> {
        let to = self.path("to");
        let work = ToDisk {
            from: &self.path("from"),
            to: &to,
            slot: Slot::A,
            record: &self.record,
            configuration: Some("hostname = 'reef'\n"),
            scratch: self.folder.path(),
        };
        work.run(shape_of(&self.to(), &to).unwrap(), listen)
    }

    fn table(&self) -> Result<PartitionTable, ToDiskError> {
        let to = self.to();
        table_of(&to, &self.path("to"), shape_of(&to, &self.path("to")).unwrap())
    }
}

/// Listens until so many calls were made.
struct Until(u32);

impl Listen for Until {
    fn advance(&mut self, _: &'static str, _: u64, _: u64) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

fn bytes(file: &File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at).unwrap();
    bytes
}

#[test]
fn the_other_disk_has_the_running_slot_an_empty_one_its_own_names_and_the_configuration() {
    let made = Made::new();
    let report = made.run(&mut Until(u32::MAX)).unwrap();
    let (to, table) = (made.to(), made.table().unwrap());
    assert_ne!(table.disk_guid, Uuid::from_u128(0xd15c));
    let data = table.with_label("outcrop-data").unwrap();
    assert_eq!(data.first * SECTOR, 115 * MIB);
    assert_eq!((data.last + 1) * SECTOR, 199 * MIB);
    assert_eq!(report.data, 84 * MIB);
    // Slot A is whole, slot B isn't taken for one.
    assert_eq!(bytes(&to, 97 * MIB, 4096), [0x5a; 4096]);
    assert_eq!(&bytes(&to, 105 * MIB, 6), b"verity");
    assert_eq!(bytes(&to, 114 * MIB, 64 << 10), vec![0; 64 << 10]);
    for offset in COPY_OFFSETS {
        let copy = bytes(&to, 81 * MIB + offset, 512);
        let record = BootRecord::decode(copy.first_chunk().unwrap()).unwrap();
        assert_eq!((record.default, record.trial), (Slot::A, None));
        assert_eq!(
            (record.slot(Slot::A).state, record.slot(Slot::A).attempts),
            (SlotState::Good, 0)
        );
        assert_eq!(record.slot(Slot::B).state, SlotState::Empty);
    }
    let fat = bytes(&to, MIB, usize::try_from(80 * MIB).unwrap());
    let place = fat.windows(8).position(|window| window == b"hostname").unwrap();
    assert!(fat[place..].starts_with(b"hostname = 'reef'\n\n\n"));
    // Its data partition is a file system: the magic number of ext4's superblock.
    assert_eq!(bytes(&to, 115 * MIB + 1024 + 56, 2), [0x53, 0xef]);
}

#[test]
fn a_copy_that_is_cut_short_never_looks_like_a_disk_and_the_source_is_untouched() {
    let made = Made::new();
    let before = fs::read(made.path("from")).unwrap();
    for calls in [1, 5, 24, 30] {
        let error = made.run(&mut Until(calls)).unwrap_err();
        assert!(matches!(error, ToDiskError::Stopped(_)), "{error}");
        assert!(made.table().is_err());
        assert_eq!(bytes(&made.to(), 0, 512), [0; 512]);
    }
    assert!(fs::read(made.path("from")).unwrap() == before);
    made.run(&mut Until(u32::MAX)).unwrap();
    made.table().unwrap();
}

#[test]
fn what_is_on_trial_or_not_the_default_and_disks_that_don_t_do_are_refused_before_a_byte_changes() {
    let refused = |change: &dyn Fn(&mut Made)| {
        let mut made = Made::new();
        change(&mut made);
        let before = bytes(&made.to(), 0, 4096);
        let error = made.run(&mut Until(u32::MAX)).unwrap_err();
        assert_eq!(bytes(&made.to(), 0, 4096), before);
        error
    };
    let trial = refused(&|made| {
        made.record.trial = Some(Trial {
            slot: Slot::A,
            stage: TrialStage::Running,
            tries: 1,
        });
    });
    assert!(matches!(trial, ToDiskError::Unsettled(Slot::A)), "{trial}");
    let other = refused(&|made| made.record.default = Slot::B);
    assert!(matches!(other, ToDiskError::Unsettled(Slot::A)), "{other}");
    let small = refused(&|made| {
        let to = File::options().write(true).open(made.path("to")).unwrap();
        to.set_len(100 * MIB).unwrap();
    });
    assert!(matches!(small, ToDiskError::Table { .. }), "{small}");
    let no_tree = refused(&|made| {
        let from = File::options().write(true).open(made.path("from")).unwrap();
        write(&from, 105 * MIB, &[0; 512]);
    });
    assert!(matches!(no_tree, ToDiskError::Tree), "{no_tree}");
    let no_disk = refused(&|made| fs::write(made.path("from"), vec![0; 1 << 20]).unwrap());
    assert!(matches!(no_disk, ToDiskError::Read { .. }), "{no_disk}");
}

#[test]
fn every_partition_that_a_slot_needs_has_to_be_there() {
    let made = Made::new();
    let from = File::open(made.path("from")).unwrap();
    let shape = shape_of(&from, &made.path("from")).unwrap();
    let table = table_of(&from, &made.path("from"), shape).unwrap();
    for partition in [
        Partition::Esp,
        Partition::BootRecord,
        Partition::Root(Slot::A),
        Partition::Verity(Slot::B),
    ] {
        let mut lacking = table.clone();
        lacking
            .partitions
            .retain(|entry| entry.label != partition.label());
        let planned = plan(&lacking, shape, Slot::A, &made.record, |extent| {
            Ok(bytes(&from, extent.start, 512))
        });
        assert!(
            matches!(planned, Err(ToDiskError::Partition(label)) if label == partition.label()),
            "{planned:?}"
        );
    }
}
