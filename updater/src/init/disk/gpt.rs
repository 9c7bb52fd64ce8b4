//! Reading a GUID partition table, primary or backup.
//!
//! The kernel reads it too, but doesn't tell the GUIDs without udev. Source: UEFI specification 2.10, section 5.3.

use std::io;

use uuid::Uuid;

/// Bytes of a header that are read.
const HEADER_BYTES: usize = 92;
/// Length of one entry. Other lengths are legal and unused.
const ENTRY_BYTES: u32 = 128;
/// Most entries that are read: eight times what every tool writes.
const MAX_ENTRIES: u32 = 1024;

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptPartition {
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

/// A table that its checksums confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTable {
    /// GUID of the disk.
    pub disk_guid: Uuid,
    /// Used entries, by number.
    pub partitions: Vec<GptPartition>,
}

impl PartitionTable {
    /// The first partition with `label`.
    #[must_use]
    pub fn with_label(&self, label: &str) -> Option<&GptPartition> {
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
pub(super) type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> io::Result<()> + 'a;

/// The primary table, or, where that is damaged, the backup in the last sector (the kernel does so too when `gpt` is on
/// its command line).
///
/// # Errors
/// What was wrong with the primary table, when the backup is no better.
pub fn read_partition_table(
    read: &mut ReadAt<'_>,
    sector_bytes: u32,
    disk_bytes: u64,
) -> Result<PartitionTable, GptError> {
    let sectors = disk_bytes.checked_div(u64::from(sector_bytes)).unwrap_or(0);
    if sector_bytes < 512 || sectors < 4 {
        return Err(GptError::TooSmall(disk_bytes));
    }
    read_at_sector(read, sector_bytes, 1)
        .or_else(|error| read_at_sector(read, sector_bytes, sectors - 1).map_err(|_| error))
}

fn read_at_sector(read: &mut ReadAt<'_>, sector_bytes: u32, sector: u64) -> Result<PartitionTable, GptError> {
    let mut bytes = |sector: u64, len: usize| {
        let offset = sector
            .checked_mul(u64::from(sector_bytes))
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
    let array = bytes(header.entries_at, len)?;
    if crc32fast::hash(&array) != header.entries_crc {
        return Err(GptError::Entries(sector));
    }
    let (entries, _) = array.as_chunks::<{ ENTRY_BYTES as usize }>();
    Ok(PartitionTable {
        disk_guid: header.disk_guid,
        partitions: (1..)
            .zip(entries)
            .filter_map(|(number, entry)| parse_entry(number, entry))
            .collect(),
    })
}

struct Header {
    disk_guid: Uuid,
    entries_at: u64,
    entries: u32,
    entry_bytes: u32,
    entries_crc: u32,
}

impl Header {
    /// The header, if its signature, checksum, and place (`sector`) are right. Only headers of the common length are read.
    fn parse(bytes: &[u8], sector: u64) -> Option<Self> {
        let (signature, header_bytes) = (bytes.get(..8)?, u32_at(bytes, 12)?);
        let mut unsigned = bytes.get(..HEADER_BYTES)?.to_vec();
        unsigned.get_mut(16..20)?.fill(0);
        let good = signature == b"EFI PART"
            && usize::try_from(header_bytes) == Ok(HEADER_BYTES)
            && crc32fast::hash(&unsigned) == u32_at(bytes, 16)?
            && u64_at(bytes, 24)? == sector;
        good.then_some(Self {
            disk_guid: guid_at(bytes, 56)?,
            entries_at: u64_at(bytes, 72)?,
            entries: u32_at(bytes, 80)?,
            entry_bytes: u32_at(bytes, 84)?,
            entries_crc: u32_at(bytes, 88)?,
        })
    }
}

/// The partition of a used entry.
fn parse_entry(number: u32, entry: &[u8]) -> Option<GptPartition> {
    let kind = guid_at(entry, 0)?;
    let (units, _) = entry.get(56..128)?.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|&unit| u16::from_le_bytes(unit)).collect();
    let label = units.split(|&unit| unit == 0).next().unwrap_or_default();
    (!kind.is_nil()).then_some(GptPartition {
        number,
        guid: guid_at(entry, 16)?,
        first: u64_at(entry, 32)?,
        last: u64_at(entry, 40)?,
        label: String::from_utf16_lossy(label),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn guid_at(bytes: &[u8], at: usize) -> Option<Uuid> {
    Some(Uuid::from_bytes_le(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECTOR: usize = 512;

    fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
        bytes[at..at + field.len()].copy_from_slice(field);
    }

    fn header(sector: u64, entries_at: u64, array: &[u8]) -> Vec<u8> {
        let mut header = vec![0; SECTOR];
        put(&mut header, 0, b"EFI PART\0\0\x01\0\x5c\0\0\0");
        put(&mut header, 24, &sector.to_le_bytes());
        put(&mut header, 56, &Uuid::from_u128(0xd15c).to_bytes_le());
        put(&mut header, 72, &entries_at.to_le_bytes());
        put(&mut header, 80, &128_u32.to_le_bytes());
        put(&mut header, 84, &128_u32.to_le_bytes());
        put(&mut header, 88, &crc32fast::hash(array).to_le_bytes());
        let crc = crc32fast::hash(&header[..HEADER_BYTES]);
        put(&mut header, 16, &crc.to_le_bytes());
        header
    }

    /// A disk of 128 sectors whose partitions have these numbers, labels, and the number as GUID.
    pub(crate) fn disk_with(partitions: &[(u32, &str)]) -> Vec<u8> {
        let mut array = vec![0; 128 * 128];
        for (number, label) in partitions {
            let at = (*number as usize - 1) * 128;
            let name: Vec<u8> = label.encode_utf16().flat_map(u16::to_le_bytes).collect();
            put(&mut array, at, &[1; 16]);
            put(
                &mut array,
                at + 16,
                &Uuid::from_u128((*number).into()).to_bytes_le(),
            );
            put(&mut array, at + 32, &40_u64.to_le_bytes());
            put(&mut array, at + 40, &47_u64.to_le_bytes());
            put(&mut array, at + 56, &name);
        }
        let mut disk = vec![0; 128 * SECTOR];
        put(&mut disk, SECTOR, &header(1, 2, &array));
        put(&mut disk, 2 * SECTOR, &array);
        put(&mut disk, 95 * SECTOR, &array);
        put(&mut disk, 127 * SECTOR, &header(127, 95, &array));
        disk
    }

    fn read(disk: &[u8]) -> Result<PartitionTable, GptError> {
        let mut read_at = |offset: u64, buffer: &mut [u8]| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let bytes = disk.get(start..).and_then(|rest| rest.get(..buffer.len()));
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        };
        read_partition_table(&mut read_at, 512, disk.len() as u64)
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
            assert_eq!(read(&disk).unwrap(), read(&whole).unwrap(), "byte {byte}");
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
        let array = vec![0; 128 * 128];
        put(&mut disk, SECTOR, &header(1, u64::MAX / 512, &array));
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
            prop_assert_eq!(read(&disk).unwrap(), read(&whole).unwrap());
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
