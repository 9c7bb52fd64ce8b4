//! The header of a table.

use uuid::Uuid;

/// Length of the header, in bytes. Longer ones are legal and unused.
pub(super) const HEADER_BYTES: usize = 92;
/// Length of one entry, in bytes. Other lengths are legal and unused.
pub(super) const ENTRY_BYTES: u32 = 128;

/// Signature, revision 1.0, header length.
const BEGIN: [u8; 16] = *b"EFI PART\0\0\x01\0\x5c\0\0\0";

/// What a header says. Places are sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Where the other copy's header is.
    pub(super) other: u64,
    pub(super) first_usable: u64,
    pub(super) last_usable: u64,
    pub(super) disk_guid: Uuid,
    pub(super) entries_at: u64,
    pub(super) entries: u32,
    pub(super) entry_bytes: u32,
    pub(super) entries_crc: u32,
}

impl Header {
    /// The header, if its signature, checksum, and place (`sector`) are right.
    pub(super) fn parse(bytes: &[u8], sector: u64) -> Option<Self> {
        let mut unsigned = *bytes.first_chunk::<HEADER_BYTES>()?;
        unsigned.get_mut(16..20)?.fill(0);
        let good = bytes.starts_with(&BEGIN)
            && crc32fast::hash(&unsigned) == u32_at(bytes, 16)?
            && u64_at(bytes, 24)? == sector;
        good.then_some(Self {
            other: u64_at(bytes, 32)?,
            first_usable: u64_at(bytes, 40)?,
            last_usable: u64_at(bytes, 48)?,
            disk_guid: guid_at(bytes, 56)?,
            entries_at: u64_at(bytes, 72)?,
            entries: u32_at(bytes, 80)?,
            entry_bytes: u32_at(bytes, 84)?,
            entries_crc: u32_at(bytes, 88)?,
        })
    }

    /// The header as it lies in `sector`, with its checksum.
    pub(super) fn to_bytes(&self, sector: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &BEGIN);
        put(24, &sector.to_le_bytes());
        put(32, &self.other.to_le_bytes());
        put(40, &self.first_usable.to_le_bytes());
        put(48, &self.last_usable.to_le_bytes());
        put(56, &self.disk_guid.to_bytes_le());
        put(72, &self.entries_at.to_le_bytes());
        put(80, &self.entries.to_le_bytes());
        put(84, &self.entry_bytes.to_le_bytes());
        put(88, &self.entries_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn guid_at(bytes: &[u8], at: usize) -> Option<Uuid> {
    Some(Uuid::from_bytes_le(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_survives_its_bytes_and_no_flipped_bit(
            places: [u64; 4], guid: u128, numbers: [u32; 3], sector: u64, at in 0..HEADER_BYTES, bit in 0..8,
        ) {
            let [other, first_usable, last_usable, entries_at] = places;
            let [entries, entry_bytes, entries_crc] = numbers;
            let disk_guid = Uuid::from_u128(guid);
            let header = Header {
                other, first_usable, last_usable, disk_guid, entries_at, entries, entry_bytes, entries_crc,
            };
            let mut bytes = header.to_bytes(sector);
            prop_assert_eq!(Header::parse(&bytes, sector), Some(header));
            prop_assert_eq!(Header::parse(&bytes, sector ^ 1), None);
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(Header::parse(&bytes, sector), None);
        }
    }
}
