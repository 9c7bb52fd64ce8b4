//! One entry of the section table.

use std::ops::Range;

use crate::field::{take, u32_at};

/// Length of an entry, in bytes.
pub(super) const ENTRY_BYTES: usize = 40;

/// A section: a part of the file that is mapped into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Up to eight bytes of ASCII: `.linux`.
    pub name: String,
    /// Length in memory, in bytes; for what a UKI carries also the length of the content.
    pub virtual_len: u32,
    /// Where it is mapped, relative to the image's base.
    pub address: u32,
    /// Length in the file, a multiple of the file alignment.
    pub file_len: u32,
    /// Where it begins in the file.
    pub file_offset: u32,
    /// What it holds and how it is mapped (`IMAGE_SCN_…`).
    pub flags: u32,
}

impl Section {
    /// Code, readable and executable.
    pub const CODE: u32 = 0x6000_0020;
    /// Initialised data, readable.
    pub const DATA: u32 = 0x4000_0040;

    /// Where the content lies in the file, without the padding.
    #[must_use]
    pub fn content(&self) -> Range<u64> {
        let start = u64::from(self.file_offset);
        start..start + u64::from(self.virtual_len.min(self.file_len))
    }

    /// Where the next section can begin, before alignment: in memory and in the file.
    #[must_use]
    pub fn ends(&self) -> (u64, u64) {
        let memory = u64::from(self.address) + u64::from(self.virtual_len.max(self.file_len));
        (memory, u64::from(self.file_offset) + u64::from(self.file_len))
    }

    /// Reads an entry; none when it isn't all there or its name is no ASCII.
    pub(super) fn parse(entry: &[u8]) -> Option<Self> {
        let name: [u8; 8] = take(entry, 0)?;
        let len = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        let name = name
            .get(..len)
            .filter(|name| name.iter().all(u8::is_ascii_graphic))?;
        Some(Self {
            name: String::from_utf8(name.to_vec()).ok()?,
            virtual_len: u32_at(entry, 8)?,
            address: u32_at(entry, 12)?,
            file_len: u32_at(entry, 16)?,
            file_offset: u32_at(entry, 20)?,
            flags: u32_at(entry, 36)?,
        })
    }

    /// The entry as it lies in the table. Names longer than eight bytes are cut.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        for (place, byte) in entry.iter_mut().zip(self.name.bytes().take(8)) {
            *place = byte;
        }
        entry[8..12].copy_from_slice(&self.virtual_len.to_le_bytes());
        entry[12..16].copy_from_slice(&self.address.to_le_bytes());
        entry[16..20].copy_from_slice(&self.file_len.to_le_bytes());
        entry[20..24].copy_from_slice(&self.file_offset.to_le_bytes());
        entry[36..40].copy_from_slice(&self.flags.to_le_bytes());
        entry
    }
}
