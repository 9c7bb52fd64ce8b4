//! The partition table: GUID partition table with 128 entries, and the protective MBR before it.
//!
//! Own code, since the numbers and bytes are fixed and readers must be strict; sectors have 512 bytes.
//! Source: UEFI specification 2.10, section 5.

mod encode;
mod entry;
mod parse;

pub use encode::Gpt;
pub use entry::Entry;
pub use parse::GptError;

/// Entries in the table.
const ENTRIES: usize = 128;
/// Length of an entry, in bytes.
const ENTRY_BYTES: usize = 128;
/// Length of all entries, in bytes.
const ENTRIES_BYTES: usize = ENTRIES * ENTRY_BYTES;
/// Sectors of all entries.
const ENTRIES_SECTORS: u64 = 32;
/// Length of the header that its checksum covers.
const HEADER_BYTES: usize = 92;
/// Length of MBR, header and entries at the start of a disk, in bytes.
pub const PRIMARY_BYTES: usize = 34 * 512;
/// Length of entries and header at the end of a disk, in bytes.
pub const BACKUP_BYTES: usize = 33 * 512;
