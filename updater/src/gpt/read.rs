//! Reading the primary table, or the backup.
//!
//! The kernel reads it too, but doesn't tell the GUIDs without udev.

use std::io;

use uuid::Uuid;

use super::header::{ENTRY_BYTES, HEADER_BYTES, Header};

/// Most entries that are read: eight times what every tool writes.
const MAX_ENTRIES: u32 = 1024;

/// Sizes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Length of a logical sector, in bytes.
    pub sector_bytes: u32,
    /// Length of the disk, in bytes.
    pub bytes: u64,
}

impl Shape {
    /// Whole sectors of the disk.
    #[must_use]
    pub fn sectors(self) -> u64 {
        self.bytes.checked_div(u64::from(self.sector_bytes)).unwrap_or(0)
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Number, from 1.
    pub number: u32,
    /// Its own GUID.
    pub guid: Uuid,
    /// First sector.
    pub first: u64,
    /// Last sector.
    pub last: u64,
    /// Name in the table.
    pub label: String,
}

/// Which of the two copies of a table was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// The one at the start of the disk.
    Primary,
    /// The one at its end: the primary is damaged.
    Backup,
}

/// A table that its checksums confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTable {
    /// Where it was read from.
    pub copy: Copy,
    /// GUID of the disk.
    pub disk_guid: Uuid,
    /// Used entries, by number.
    pub partitions: Vec<Partition>,
    /// The header as it was.
    pub(super) header: Header,
    /// The array of entries as it was.
    pub(super) entries: Vec<u8>,
}

impl PartitionTable {
    /// The first partition with `label`.
    #[must_use]
    pub fn with_label(&self, label: &str) -> Option<&Partition> {
        self.partitions.iter().find(|entry| entry.label == label)
    }
}

/// A disk has no readable table.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The disk can't be read.
    #[error("read {len} bytes at offset {offset} of the disk")]
    Read {
        /// Where, in bytes.
        offset: u64,
        /// How many bytes.
        len: usize,
        /// Why.
        source: io::Error,
    },
    /// No header, or one that its checksum doesn't confirm.
    #[error("no partition table in sector {0}")]
    NoTable(u64),
    /// Entries that are damaged, or of a kind that no tool writes.
    #[error("the partition table of sector {0} has damaged or unusual entries")]
    Entries(u64),
    /// The disk has no room for a table.
    #[error("a disk of {0} bytes is too small for a partition table")]
    TooSmall(u64),
}

/// Reads bytes at an offset of a disk.
pub type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> io::Result<()> + 'a;

/// The primary table, or, where that is damaged, the backup in the last sector (the kernel does so too when `gpt` is on
/// its command line).
///
/// # Errors
/// What was wrong with the primary table, when the backup is no better.
pub fn read_partition_table(read: &mut ReadAt<'_>, shape: Shape) -> Result<PartitionTable, GptError> {
    let sectors = shape.sectors();
    if shape.sector_bytes < 512 || sectors < 4 {
        return Err(GptError::TooSmall(shape.bytes));
    }
    read_copy(read, shape, Copy::Primary, 1)
        .or_else(|error| read_copy(read, shape, Copy::Backup, sectors - 1).map_err(|_| error))
}

fn read_copy(
    read: &mut ReadAt<'_>,
    shape: Shape,
    copy: Copy,
    sector: u64,
) -> Result<PartitionTable, GptError> {
    let mut bytes = |sector: u64, len: usize| {
        let offset = sector
            .checked_mul(u64::from(shape.sector_bytes))
            .ok_or(GptError::NoTable(sector))?;
        let mut buffer = vec![0; len];
        match read(offset, &mut buffer) {
            Ok(()) => Ok(buffer),
            Err(source) => Err(GptError::Read { offset, len, source }),
        }
    };
    let header = Header::parse(&bytes(sector, HEADER_BYTES)?, sector).ok_or(GptError::NoTable(sector))?;
    if header.entry_bytes != ENTRY_BYTES || header.entries > MAX_ENTRIES {
        return Err(GptError::Entries(sector));
    }
    let len = usize::try_from(header.entries * ENTRY_BYTES).unwrap_or(0);
    let entries = bytes(header.entries_at, len)?;
    if crc32fast::hash(&entries) != header.entries_crc {
        return Err(GptError::Entries(sector));
    }
    let (chunks, _) = entries.as_chunks::<{ ENTRY_BYTES as usize }>();
    Ok(PartitionTable {
        copy,
        disk_guid: header.disk_guid,
        partitions: (1..)
            .zip(chunks)
            .filter_map(|(number, entry)| parse_entry(number, entry))
            .collect(),
        header,
        entries,
    })
}

/// The partition of a used entry.
fn parse_entry(number: u32, entry: &[u8; ENTRY_BYTES as usize]) -> Option<Partition> {
    use super::header::{guid_at, u64_at};
    let (units, _) = entry.get(56..)?.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|&unit| u16::from_le_bytes(unit)).collect();
    let label = units.split(|&unit| unit == 0).next().unwrap_or_default();
    (!guid_at(entry, 0)?.is_nil()).then_some(Partition {
        number,
        guid: guid_at(entry, 16)?,
        first: u64_at(entry, 32)?,
        last: u64_at(entry, 40)?,
        label: String::from_utf16_lossy(label),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECTOR: usize = 512;

    fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
        bytes[at..at + field.len()].copy_from_slice(field);
    }

    /// The header for sector `at` of a disk whose last sector is `last`.
    fn header(at: usize, last: usize, array: &[u8]) -> Vec<u8> {
        let (at, last) = (at as u64, last as u64);
        let header = Header {
            other: if at == 1 { last } else { 1 },
            first_usable: 34,
            last_usable: last - 33,
            disk_guid: Uuid::from_u128(0xd15c),
            entries_at: if at == 1 { 2 } else { last - 32 },
            entries: 128,
            entry_bytes: 128,
            entries_crc: crc32fast::hash(array),
        };
        let mut bytes = header.to_bytes(at).to_vec();
        bytes.resize(SECTOR, 0);
        bytes
    }

    /// A disk of 128 sectors whose partitions have these numbers, labels, and the number as GUID.
    pub(crate) fn disk_with(partitions: &[(u32, &str)]) -> Vec<u8> {
        let placed: Vec<_> = partitions
            .iter()
            .map(|(number, label)| (*number, *label, 40, 47))
            .collect();
        disk_of(128, &placed)
    }

    /// A disk of `sectors` whose partitions have these numbers, labels, first and last sectors, and the number as GUID.
    pub(crate) fn disk_of(sectors: u64, partitions: &[(u32, &str, u64, u64)]) -> Vec<u8> {
        let mut array = vec![0; 128 * 128];
        for (number, label, first, last) in partitions {
            let at = (*number as usize - 1) * 128;
            let name: Vec<u8> = label.encode_utf16().flat_map(u16::to_le_bytes).collect();
            put(&mut array, at, &[1; 16]);
            put(
                &mut array,
                at + 16,
                &Uuid::from_u128((*number).into()).to_bytes_le(),
            );
            put(&mut array, at + 32, &first.to_le_bytes());
            put(&mut array, at + 40, &last.to_le_bytes());
            put(&mut array, at + 56, &name);
        }
        let last = usize::try_from(sectors).unwrap() - 1;
        let mut disk = vec![0; (last + 1) * SECTOR];
        // Protective MBR: one partition of type 0xee from sector 1 on.
        let covered = u32::try_from(last).unwrap().to_le_bytes();
        put(
            &mut disk,
            446,
            &[[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff], [1, 0, 0, 0, 0, 0, 0, 0]].concat(),
        );
        put(&mut disk, 446 + 12, &covered);
        put(&mut disk, 510, &[0x55, 0xaa]);
        put(&mut disk, SECTOR, &header(1, last, &array));
        put(&mut disk, 2 * SECTOR, &array);
        put(&mut disk, (last - 32) * SECTOR, &array);
        put(&mut disk, last * SECTOR, &header(last, last, &array));
        disk
    }

    /// The table of [`disk_with`].
    pub(crate) fn test_table(partitions: &[(u32, &str)]) -> PartitionTable {
        read(&disk_with(partitions)).unwrap()
    }

    fn read(disk: &[u8]) -> Result<PartitionTable, GptError> {
        let mut read_at = |offset: u64, buffer: &mut [u8]| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let bytes = disk.get(start..).and_then(|rest| rest.get(..buffer.len()));
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        };
        let shape = Shape {
            sector_bytes: 512,
            bytes: disk.len() as u64,
        };
        read_partition_table(&mut read_at, shape)
    }

    #[test]
    fn partitions_have_their_numbers_guids_and_labels() {
        let table = read(&disk_with(&[(1, "outcrop-esp"), (9, "outcrop-data")])).unwrap();
        assert_eq!(table.disk_guid, Uuid::from_u128(0xd15c));
        let data = table.with_label("outcrop-data").unwrap();
        assert_eq!(
            (data.number, data.guid, data.first, data.last),
            (9, Uuid::from_u128(9), 40, 47)
        );
        assert_eq!(table.partitions.len(), 2);
    }

    #[test]
    fn a_damaged_primary_table_is_replaced_by_the_backup() {
        let whole = disk_with(&[(1, "outcrop-esp")]);
        for byte in [SECTOR, SECTOR + 20, SECTOR + 60, 2 * SECTOR + 5] {
            let mut disk = whole.clone();
            disk[byte] ^= 1;
            let table = read(&disk).unwrap();
            assert_eq!(table.copy, Copy::Backup);
            assert_eq!(table.partitions, read(&whole).unwrap().partitions, "byte {byte}");
        }
    }

    #[test]
    fn when_both_are_damaged_the_error_speaks_of_the_first() {
        let mut disk = disk_with(&[(1, "outcrop-esp")]);
        disk[SECTOR] ^= 1;
        disk[127 * SECTOR] ^= 1;
        assert!(matches!(read(&disk), Err(GptError::NoTable(1))));
    }

    #[test]
    fn tiny_disks_and_absurd_counts_are_refused() {
        assert!(matches!(read(&[0; 1024]), Err(GptError::TooSmall(1024))));
        let mut disk = disk_with(&[]);
        put(&mut disk, SECTOR + 80, &u32::MAX.to_le_bytes());
        put(&mut disk, SECTOR + 16, &[0; 4]);
        let crc = crc32fast::hash(&disk[SECTOR..SECTOR + HEADER_BYTES]);
        put(&mut disk, SECTOR + 16, &crc.to_le_bytes());
        disk.truncate(100 * SECTOR);
        assert!(matches!(read(&disk), Err(GptError::Entries(1))));
    }

    #[test]
    fn entries_that_lie_past_the_end_are_an_error_of_reading() {
        let mut disk = disk_with(&[]);
        put(&mut disk, SECTOR + 72, &(u64::MAX / 512).to_le_bytes());
        put(&mut disk, SECTOR + 16, &[0; 4]);
        let crc = crc32fast::hash(&disk[SECTOR..SECTOR + HEADER_BYTES]);
        put(&mut disk, SECTOR + 16, &crc.to_le_bytes());
        disk.truncate(100 * SECTOR);
        assert!(matches!(read(&disk), Err(GptError::Read { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_flipped_byte_makes_the_reader_panic_or_believe_other_partitions(at in 512_usize..20_000, value: u8) {
            let whole = disk_with(&[(1, "a"), (5, "b")]);
            let mut disk = whole.clone();
            disk[at] = value;
            prop_assert_eq!(read(&disk).unwrap().partitions, read(&whole).unwrap().partitions);
        }

        #[test]
        fn a_header_of_any_bytes_with_a_right_checksum_does_no_harm(fields in proptest::collection::vec(any::<u8>(), 68)) {
            let mut disk = disk_with(&[(1, "a")]);
            put(&mut disk, SECTOR + 24, &fields);
            put(&mut disk, SECTOR + 16, &[0; 4]);
            let crc = crc32fast::hash(&disk[SECTOR..SECTOR + HEADER_BYTES]);
            put(&mut disk, SECTOR + 16, &crc.to_le_bytes());
            let _ = read(&disk);
        }
    }
}
