//! Growing the data partition to the end of the disk, so that no power cut leaves a disk without a whole table.
//!
//! A table has two copies. The backup is written first, to the new end of the disk, and flushed; only then the primary,
//! its entries before its header. So at every moment one of them is whole: the firmware reads either, and Linux does
//! when `gpt` is on its command line.

use outcrop_release::{partition::Partition as Role, slot::Slot};

use super::{
    header::{ENTRY_BYTES, Header},
    read::{Copy, Partition, PartitionTable, Shape},
};

/// Less than this isn't worth a change of the table: it is lost to alignment and the backup table anyway.
const WORTHWHILE_BYTES: u64 = 8 << 20;
/// Partitions end at a multiple of this.
pub(super) const ALIGNMENT_BYTES: u64 = 1 << 20;
/// Sector of the primary header; its entries follow.
const PRIMARY: u64 = 1;
/// Where the protective MBR says how many sectors it covers, in bytes. Source: UEFI specification 2.10, table 5.4.
const PROTECTIVE_MBR_SIZE: u64 = 446 + 12;

/// The table can't be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrowError {
    /// No data partition.
    #[error("the disk has no partition {}", Role::Data.label())]
    NoData,
    /// Something lies behind the data partition.
    #[error("partition {0} lies behind the data partition")]
    NotLast(u32),
    /// The table doesn't fit the disk.
    #[error("the partition table is of a larger disk, or has an unusual form")]
    Form,
}

/// What to do with the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Write {
        /// Where, in bytes.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Wait until everything written so far is on the medium.
    Flush,
}

/// Whether [`plan_growth`] has something to do: the disk goes on well after the data partition and nothing else lies there,
/// or the primary table is damaged, which a power cut in the midst of growing leaves.
#[must_use]
pub fn needs_growth(table: &PartitionTable, shape: Shape) -> bool {
    let Ok(data) = data_partition(table) else {
        return false;
    };
    let sector = u64::from(shape.sector_bytes);
    let end = data.last.saturating_add(1).saturating_mul(sector);
    table.copy == Copy::Backup || shape.bytes.saturating_sub(end) >= WORTHWHILE_BYTES
}

/// The steps that make the data partition of `table` reach the end of the disk. A damaged primary table is restored first.
///
/// # Errors
/// When the data partition isn't the last one, or the table doesn't fit the disk.
pub fn plan_growth(table: &PartitionTable, shape: Shape) -> Result<Vec<Step>, GrowError> {
    let data = data_partition(table)?;
    let place = Place::of(table, shape)?;
    let aligned = ALIGNMENT_BYTES
        .checked_div(place.sector_bytes)
        .ok_or(GrowError::Form)?;
    let end = (place.last_usable + 1)
        .checked_div(aligned)
        .ok_or(GrowError::Form)?
        * aligned;
    let last = data.last.max(end.saturating_sub(1));
    let mut entries = table.entries.clone();
    set_last_sector(&mut entries, data.number, last).ok_or(GrowError::Form)?;

    let mut steps = Vec::new();
    if table.copy == Copy::Backup {
        steps.extend(place.primary(&table.header, &table.entries));
    }
    steps.extend(place.backup(&table.header, &entries));
    steps.extend(place.primary(&table.header, &entries));
    // Board `rpi` has a hybrid one: it names partition 1 there, which doesn't grow.
    if table.with_label(Role::Boot(Slot::A).label()).is_none() {
        steps.extend(place.protective_mbr());
    }
    Ok(steps)
}

/// The data partition, which has to be the last one.
pub(super) fn data_partition(table: &PartitionTable) -> Result<&Partition, GrowError> {
    let data = table.with_label(Role::Data.label()).ok_or(GrowError::NoData)?;
    match table.partitions.iter().find(|other| other.last > data.last) {
        Some(behind) => Err(GrowError::NotLast(behind.number)),
        None => Ok(data),
    }
}

/// Changes the last sector of partition `number`.
pub(super) fn set_last_sector(entries: &mut [u8], number: u32, last: u64) -> Option<()> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    let (entries, _) = entries.as_chunks_mut::<{ ENTRY_BYTES as usize }>();
    let field = entries.get_mut(index)?.get_mut(40..48)?;
    field.copy_from_slice(&last.to_le_bytes());
    Some(())
}

/// Where the copies of a table belong on a disk. All in sectors.
pub(super) struct Place {
    sector_bytes: u64,
    pub(super) last_sector: u64,
    backup_entries: u64,
    pub(super) last_usable: u64,
}

impl Place {
    /// The places for a table like `table`, if all its partitions lie between them.
    pub(super) fn of(table: &PartitionTable, shape: Shape) -> Result<Self, GrowError> {
        let sector_bytes = u64::from(shape.sector_bytes);
        let array = (table.entries.len() as u64).div_ceil(sector_bytes.max(1));
        let last_sector = shape.sectors().checked_sub(1).ok_or(GrowError::Form)?;
        let backup_entries = last_sector.checked_sub(array).ok_or(GrowError::Form)?;
        let last_usable = backup_entries.checked_sub(1).ok_or(GrowError::Form)?;
        let inside =
            |partition: &Partition| partition.first > PRIMARY + array && partition.last <= last_usable;
        if sector_bytes == 0 || !table.partitions.iter().all(inside) {
            return Err(GrowError::Form);
        }
        Ok(Self {
            sector_bytes,
            last_sector,
            backup_entries,
            last_usable,
        })
    }

    fn write(&self, sector: u64, bytes: &[u8]) -> Step {
        let sector_bytes = usize::try_from(self.sector_bytes).unwrap_or(1);
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(sector_bytes), 0);
        let offset = sector * self.sector_bytes;
        Step::Write { offset, bytes }
    }

    fn header(&self, old: &Header, entries: &[u8], other: u64, entries_at: u64) -> Header {
        Header {
            other,
            last_usable: self.last_usable,
            entries_at,
            entries_crc: crc32fast::hash(entries),
            ..old.clone()
        }
    }

    /// The backup, whole when it is flushed.
    pub(super) fn backup(&self, old: &Header, entries: &[u8]) -> [Step; 3] {
        let header = self.header(old, entries, PRIMARY, self.backup_entries);
        [
            self.write(self.backup_entries, entries),
            self.write(self.last_sector, &header.to_bytes(self.last_sector)),
            Step::Flush,
        ]
    }

    /// The primary: damaged from the first write to the last.
    pub(super) fn primary(&self, old: &Header, entries: &[u8]) -> [Step; 4] {
        let header = self.header(old, entries, self.last_sector, PRIMARY + 1);
        [
            self.write(PRIMARY + 1, entries),
            Step::Flush,
            self.write(PRIMARY, &header.to_bytes(PRIMARY)),
            Step::Flush,
        ]
    }

    /// How many sectors old programs take for used: all, or as many as 32 bits can say.
    fn protective_mbr(&self) -> [Step; 2] {
        let sectors = u32::try_from(self.last_sector).unwrap_or(u32::MAX);
        let bytes = sectors.to_le_bytes().to_vec();
        let offset = PROTECTIVE_MBR_SIZE;
        [Step::Write { offset, bytes }, Step::Flush]
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io, process::Command};

    use proptest::prelude::*;

    use super::*;
    use crate::gpt::{read::tests::disk_of, read_partition_table};

    const SECTOR: usize = 512;
    const MIB: u64 = 2048;
    const OLD: &[(u32, &str, u64, u64)] = &[
        (1, "outcrop-esp", MIB, 2 * MIB - 1),
        (5, "outcrop-root-a", 2 * MIB, 3 * MIB - 1),
        (9, "outcrop-data", 3 * MIB, 4 * MIB - 1),
    ];
    /// The image, written to a disk that isn't a whole number of MiB long.
    const DISK_SECTORS: u64 = 20 * MIB + 7;

    /// A disk as the image's bytes and the sectors written since.
    #[derive(Clone)]
    struct Disk {
        image: Vec<u8>,
        sectors: u64,
        written: BTreeMap<u64, Vec<u8>>,
    }

    impl Disk {
        fn new() -> Self {
            let image = disk_of(5 * MIB, OLD);
            Self {
                image,
                sectors: DISK_SECTORS,
                written: BTreeMap::new(),
            }
        }

        fn shape(&self) -> Shape {
            Shape {
                sector_bytes: 512,
                bytes: self.sectors * SECTOR as u64,
            }
        }

        fn sector(&self, number: u64) -> Vec<u8> {
            let at = usize::try_from(number).unwrap() * SECTOR;
            let old = || {
                self.image
                    .get(at..at + SECTOR)
                    .map_or(vec![0; SECTOR], <[u8]>::to_vec)
            };
            self.written.get(&number).cloned().unwrap_or_else(old)
        }

        fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            for (index, byte) in (offset..).zip(buffer.iter_mut()) {
                if index >= self.shape().bytes {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *byte = self.sector(index / 512)[usize::try_from(index % 512).unwrap()];
            }
            Ok(())
        }

        fn table(&self) -> PartitionTable {
            let mut read = |offset, buffer: &mut [u8]| self.read(offset, buffer);
            read_partition_table(&mut read, self.shape()).expect("one copy is whole")
        }

        fn grow(&self) -> Vec<Step> {
            plan_growth(&self.table(), self.shape()).unwrap()
        }

        /// Writes of the steps as whole sectors, in groups between flushes.
        fn groups(&self, steps: &[Step]) -> Vec<Vec<(u64, Vec<u8>)>> {
            let mut groups = vec![vec![]];
            for step in steps {
                match step {
                    Step::Flush => groups.push(vec![]),
                    Step::Write { offset, bytes } => {
                        let first = offset / 512;
                        let (skip, len) = (usize::try_from(offset % 512).unwrap(), bytes.len());
                        let mut whole = self.sector(first)[..skip].to_vec();
                        whole.extend(bytes);
                        whole.extend(&self.sector(first)[(skip + len).min(SECTOR)..]);
                        let sectors = (first..).zip(whole.chunks_exact(SECTOR).map(<[u8]>::to_vec));
                        groups.last_mut().unwrap().extend(sectors);
                    }
                }
            }
            groups
        }

        fn apply(&mut self, steps: &[Step]) {
            let groups = self.groups(steps);
            self.written.extend(groups.into_iter().flatten());
        }
    }

    fn last_of_data(table: &PartitionTable) -> u64 {
        table.with_label("outcrop-data").unwrap().last
    }

    #[test]
    fn the_data_partition_reaches_the_last_whole_mebibyte_and_nothing_else_changes() {
        let mut disk = Disk::new();
        let old = disk.table();
        assert!(needs_growth(&old, disk.shape()));
        disk.apply(&disk.grow());
        let new = disk.table();
        assert_eq!((new.copy, last_of_data(&new)), (Copy::Primary, 19 * MIB - 1));
        assert_eq!(new.partitions[..2], old.partitions[..2]);
        assert_eq!(new.disk_guid, old.disk_guid);
        assert!(!needs_growth(&new, disk.shape()));
    }

    #[test]
    fn both_copies_are_whole_afterwards() {
        let mut disk = Disk::new();
        disk.apply(&disk.grow());
        let primary = disk.table();
        disk.written.insert(1, vec![0; SECTOR]);
        let backup = disk.table();
        assert_eq!(
            (backup.copy, &backup.partitions),
            (Copy::Backup, &primary.partitions)
        );
    }

    #[test]
    fn sgdisk_finds_nothing_to_complain_about() {
        let mut disk = Disk::new();
        disk.apply(&disk.grow());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let whole: Vec<u8> = (0..DISK_SECTORS).flat_map(|sector| disk.sector(sector)).collect();
        io::Write::write_all(&mut file, &whole).unwrap();
        let run = Command::new("sgdisk")
            .arg("-v")
            .arg(file.path())
            .output()
            .expect("install the package gdisk");
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(
            run.status.success() && text.contains("No problems found"),
            "{text}"
        );
    }

    #[test]
    fn a_cut_after_any_sector_leaves_the_old_partition_or_the_new_and_a_rerun_completes() {
        let start = Disk::new();
        let mut done = start.clone();
        done.apply(&start.grow());
        let wanted = done.table().partitions;
        let mut cut = start.clone();
        for (sector, bytes) in start.groups(&start.grow()).into_iter().flatten() {
            cut.written.insert(sector, bytes);
            check_and_complete(&cut, &wanted);
        }
    }

    fn check_and_complete(cut: &Disk, wanted: &[Partition]) {
        let table = cut.table();
        let old: Vec<u64> = OLD.iter().map(|(.., last)| *last).collect();
        let found: Vec<u64> = table.partitions.iter().map(|partition| partition.last).collect();
        assert!(found == old || table.partitions == wanted, "{found:?}");
        let mut rerun = cut.clone();
        if needs_growth(&table, cut.shape()) {
            rerun.apply(&rerun.grow());
        }
        let after = rerun.table();
        assert_eq!((after.copy, after.partitions.as_slice()), (Copy::Primary, wanted));
    }

    #[test]
    fn a_foreign_partition_behind_the_data_is_never_overwritten() {
        let mut disk = Disk::new();
        disk.image = disk_of(5 * MIB, &[OLD[0], OLD[2], (10, "foreign", 4 * MIB, 4 * MIB + 99)]);
        let table = disk.table();
        assert!(!needs_growth(&table, disk.shape()));
        assert_eq!(plan_growth(&table, disk.shape()), Err(GrowError::NotLast(10)));
    }

    #[test]
    fn a_disk_without_data_or_smaller_than_its_table_is_refused() {
        let mut disk = Disk::new();
        let table = disk.table();
        let smaller = Shape {
            sector_bytes: 512,
            bytes: 4 * MIB * 512,
        };
        assert_eq!(plan_growth(&table, smaller), Err(GrowError::Form));
        assert!(!needs_growth(&table, smaller));
        disk.image = disk_of(5 * MIB, &OLD[..2]);
        assert_eq!(plan_growth(&disk.table(), disk.shape()), Err(GrowError::NoData));
        assert!(!needs_growth(&disk.table(), disk.shape()));
    }

    #[test]
    fn a_few_mebibytes_are_not_worth_a_new_table() {
        let mut disk = Disk::new();
        disk.sectors = 4 * MIB + 8 * MIB - 1;
        assert!(!needs_growth(&disk.table(), disk.shape()));
        disk.sectors += 1;
        assert!(needs_growth(&disk.table(), disk.shape()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_part_of_the_last_group_arrived_the_disk_has_a_table(group in 0..5_usize, arrived: [u64; 2]) {
            let start = Disk::new();
            let mut done = start.clone();
            done.apply(&start.grow());
            let wanted = done.table().partitions;
            let groups = start.groups(&start.grow());
            let mut cut = start.clone();
            cut.written.extend(groups[..group.min(groups.len())].iter().flatten().cloned());
            let current = groups.get(group).map_or(&[][..], Vec::as_slice);
            for (index, (sector, bytes)) in current.iter().enumerate() {
                if arrived[index / 64 % 2] >> (index % 64) & 1 == 1 {
                    cut.written.insert(*sector, bytes.clone());
                }
            }
            check_and_complete(&cut, &wanted);
        }
    }
}
