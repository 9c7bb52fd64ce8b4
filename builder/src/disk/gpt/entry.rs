//! One entry of the table.

use uuid::Uuid;

use super::ENTRY_BYTES;
use crate::disk::units::{Extent, SECTOR};

/// Length of a label, in UTF-16 units.
const LABEL_UNITS: usize = 36;

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number, from 1 to 128.
    pub number: u32,
    /// What it is for.
    pub type_guid: Uuid,
    /// Its own name.
    pub guid: Uuid,
    /// Where it lies: whole sectors, at least one.
    pub extent: Extent,
    /// Attribute bits.
    pub attributes: u64,
    /// Label, at most 36 UTF-16 units.
    pub label: String,
}

impl Entry {
    /// The entry as it lies in the table.
    pub(super) fn to_bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..16].copy_from_slice(&self.type_guid.to_bytes_le());
        bytes[16..32].copy_from_slice(&self.guid.to_bytes_le());
        bytes[32..40].copy_from_slice(&(self.extent.start / SECTOR).to_le_bytes());
        bytes[40..48].copy_from_slice(&(self.extent.end() / SECTOR - 1).to_le_bytes());
        bytes[48..56].copy_from_slice(&self.attributes.to_le_bytes());
        let units = self.label.encode_utf16().take(LABEL_UNITS);
        for (place, unit) in bytes[56..].as_chunks_mut::<2>().0.iter_mut().zip(units) {
            *place = unit.to_le_bytes();
        }
        bytes
    }

    /// Reads entry `number`: none when it is unused, an error when its sectors or label make no sense.
    pub(super) fn parse(number: u32, bytes: &[u8; ENTRY_BYTES]) -> Result<Option<Self>, ()> {
        let guid = |offset: usize| {
            bytes[offset..]
                .first_chunk()
                .map_or(Uuid::nil(), |raw| Uuid::from_bytes_le(*raw))
        };
        let word = |offset: usize| {
            bytes[offset..]
                .first_chunk()
                .map_or(0, |raw| u64::from_le_bytes(*raw))
        };
        let type_guid = guid(0);
        if type_guid.is_nil() {
            return Ok(None);
        }
        let (first, last) = (word(32), word(40));
        let sectors = last
            .checked_sub(first)
            .and_then(|count| count.checked_add(1))
            .ok_or(())?;
        let extent = Extent {
            start: first.checked_mul(SECTOR).ok_or(())?,
            len: sectors.checked_mul(SECTOR).ok_or(())?,
        };
        extent.start.checked_add(extent.len).ok_or(())?;
        let units = bytes[56..]
            .as_chunks::<2>()
            .0
            .iter()
            .map(|unit| u16::from_le_bytes(*unit));
        let units: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
        let label = String::from_utf16(&units).map_err(|_| ())?;
        Ok(Some(Self {
            number,
            type_guid,
            guid: guid(16),
            extent,
            attributes: word(48),
            label,
        }))
    }
}
