//! Reads the table at the start of a disk.

use std::io;

use uuid::Uuid;

use super::{ENTRIES_BYTES, ENTRIES_SECTORS, ENTRY_BYTES, Entry, Gpt, HEADER_BYTES, PRIMARY_BYTES};
use crate::{disk::units::SECTOR, read_at::ReadAt};

/// A disk has no partition table that Outcrop wrote.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// It can't be read, or is too short for a table.
    #[error("read the partition table")]
    Io(#[from] io::Error),
    /// No table.
    #[error("no GUID partition table: the signature is missing")]
    Signature,
    /// A checksum doesn't match.
    #[error("partition table: the checksum of the {0} doesn't match")]
    Checksum(&'static str),
    /// A field of the header that is never written so.
    #[error("partition table: field {0} of the header has a value that Outcrop doesn't write")]
    Header(&'static str),
    /// A partition outside of the disk, or with an unreadable label.
    #[error("partition table: entry {0} is malformed or lies outside of the disk")]
    Entry(u32),
    /// Two partitions share sectors.
    #[error("partition table: partitions {0} and {1} overlap")]
    Overlap(u32, u32),
}

impl Gpt {
    /// Reads the primary table of `disk`. The disk may be longer than the table says, since a medium is longer than
    /// the image on it; it can't be shorter.
    ///
    /// # Errors
    /// When there is no table, or one that is damaged or contradicts itself.
    pub fn read(disk: &(impl ReadAt + ?Sized)) -> Result<Self, GptError> {
        let bytes = disk.read_vec(0, PRIMARY_BYTES)?;
        let (header, entries) = bytes[512..].split_at(512);
        let (disk_guid, sectors) = check_header(header, entries)?;
        if sectors.checked_mul(SECTOR).is_none_or(|len| len > disk.len()) {
            return Err(GptError::Header("alternate header"));
        }
        let entries = parse_entries(entries, sectors)?;
        Ok(Self {
            disk: disk_guid,
            sectors,
            hybrid: None,
            entries,
        })
    }

    /// The partition with `number`.
    #[must_use]
    pub fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.number == number)
    }
}

/// The disk's name, and its length in sectors as the header has it.
fn check_header(header: &[u8], entries: &[u8]) -> Result<(Uuid, u64), GptError> {
    let half = |offset: usize| {
        header[offset..]
            .first_chunk()
            .map_or(0, |raw| u32::from_le_bytes(*raw))
    };
    let word = |offset: usize| {
        header[offset..]
            .first_chunk()
            .map_or(0, |raw| u64::from_le_bytes(*raw))
    };
    if !header.starts_with(b"EFI PART") {
        return Err(GptError::Signature);
    }
    let mut covered = header[..HEADER_BYTES].to_vec();
    covered[16..20].fill(0);
    if crc32fast::hash(&covered) != half(16) {
        return Err(GptError::Checksum("header"));
    }
    let sectors = word(32)
        .checked_add(1)
        .ok_or(GptError::Header("alternate header"))?;
    let last_usable = sectors
        .checked_sub(ENTRIES_SECTORS + 2)
        .ok_or(GptError::Header("alternate header"))?;
    let constants = [
        ("revision", u64::from(half(8)), 0x0001_0000),
        ("header size", u64::from(half(12)), HEADER_BYTES as u64),
        ("own sector", word(24), 1),
        ("first usable sector", word(40), 2 + ENTRIES_SECTORS),
        ("last usable sector", word(48), last_usable),
        ("first sector of the entries", word(72), 2),
        ("number of entries", u64::from(half(80)), 128),
        ("size of an entry", u64::from(half(84)), ENTRY_BYTES as u64),
    ];
    if let Some((field, ..)) = constants.into_iter().find(|(_, found, only)| found != only) {
        return Err(GptError::Header(field));
    }
    if crc32fast::hash(&entries[..ENTRIES_BYTES]) != half(88) {
        return Err(GptError::Checksum("entries"));
    }
    let guid = header[56..]
        .first_chunk()
        .map_or(Uuid::nil(), |raw| Uuid::from_bytes_le(*raw));
    Ok((guid, sectors))
}

fn parse_entries(bytes: &[u8], sectors: u64) -> Result<Vec<Entry>, GptError> {
    let (first, end) = (
        (2 + ENTRIES_SECTORS) * SECTOR,
        (sectors - ENTRIES_SECTORS - 1) * SECTOR,
    );
    let mut entries = Vec::new();
    for (number, raw) in (1..).zip(bytes.as_chunks::<ENTRY_BYTES>().0) {
        let Some(entry) = Entry::parse(number, raw).map_err(|()| GptError::Entry(number))? else {
            continue;
        };
        if entry.extent.start < first || entry.extent.end() > end {
            return Err(GptError::Entry(number));
        }
        let shares = |other: &&Entry| {
            other.extent.start < entry.extent.end() && entry.extent.start < other.extent.end()
        };
        if let Some(other) = entries.iter().find(shares) {
            return Err(GptError::Overlap(other.number, number));
        }
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use outcrop_release::{arch::Architecture, board::Board, partition::Partition};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        disk::{identity::tests::identity, layout::Layout, units::MIB},
        read_at::ReadAt,
        recipe::schema::Disk,
    };

    /// A disk of which only the start has bytes.
    struct Start(Vec<u8>, u64);

    impl ReadAt for Start {
        fn len(&self) -> u64 {
            self.1
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(buffer, offset)
        }
    }

    fn table() -> Gpt {
        let disk = Disk {
            root_slot: 64 * MIB,
            boot_slot: 16 * MIB,
            data: 128 * MIB,
        };
        let layout = Layout::plan(&disk, Architecture::Aarch64, Board::Efi).unwrap();
        Gpt::new(&layout, &identity(Architecture::Aarch64))
    }

    #[test]
    fn a_table_is_read_back_with_its_fixed_numbers() {
        let table = table();
        let read = Gpt::read(&Start(table.primary(), table.sectors * 512 + 4096)).unwrap();
        assert_eq!(read, table);
        assert_eq!(read.entry(5).unwrap().label, "outcrop-root-a");
        let attributes = [1, 5, 6, 7, 8, 9].map(|number| read.entry(number).unwrap().attributes >> 63);
        assert_eq!(attributes, [0, 0, 0, 1, 1, 1]);
        assert_eq!(
            read.entry(9).unwrap().extent,
            table.entry(Partition::Data.number()).unwrap().extent
        );
        assert!(read.entry(3).is_none() && read.entry(4).is_none());
    }

    #[test]
    fn a_disk_shorter_than_its_table_says_is_refused() {
        let table = table();
        let error = Gpt::read(&Start(table.primary(), table.sectors * 512 - 1)).unwrap_err();
        assert!(matches!(error, GptError::Header("alternate header")));
        assert!(matches!(Gpt::read(&vec![0; 512]), Err(GptError::Io(_))));
        assert!(matches!(Gpt::read(&vec![0; 20_000]), Err(GptError::Signature)));
    }

    #[test]
    fn partitions_that_overlap_or_leave_the_disk_are_refused() {
        let read = |table: &Gpt| Gpt::read(&Start(table.primary(), table.sectors * 512));
        let mut overlapping = table();
        overlapping.entries[1].extent.start = overlapping.entries[0].extent.start;
        assert!(matches!(read(&overlapping), Err(GptError::Overlap(1, 2))));
        let mut outside = table();
        outside.entries[6].extent.len += 2 * MIB;
        assert!(matches!(read(&outside), Err(GptError::Entry(9))));
    }

    proptest! {
        #[test]
        fn one_changed_byte_of_header_or_entries_is_noticed(offset in 512..512 + HEADER_BYTES, other in 1..=255_u8) {
            let table = table();
            for offset in [offset, 1024 + (offset - 512) * 170] {
                let mut bytes = table.primary();
                bytes[offset] ^= other;
                prop_assert!(Gpt::read(&Start(bytes, table.sectors * 512)).is_err());
            }
        }

        #[test]
        fn fields_with_a_right_checksum_and_any_value_never_panic(
            changes in proptest::collection::vec((8..88_usize, any::<u8>()), 1..10),
            entry_changes in proptest::collection::vec((0..9 * 128_usize, any::<u8>()), 0..10),
        ) {
            let mut bytes = table().primary();
            for (offset, byte) in changes {
                bytes[512 + offset] = byte;
            }
            for (offset, byte) in entry_changes {
                bytes[1024 + offset] = byte;
            }
            let entries = crc32fast::hash(&bytes[1024..]);
            bytes[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
            bytes[512 + 16..512 + 20].fill(0);
            let header = crc32fast::hash(&bytes[512..512 + 92]);
            bytes[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
            let _ = Gpt::read(&Start(bytes, u64::MAX));
        }
    }
}
