//! One entry of a `newc` archive.
//!
//! Source: Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::io::{self, Write};

/// Name of the entry that ends an archive.
pub(super) const TRAILER: &str = "TRAILER!!!";

/// The fields of an entry that differ between entries: owner and times are 0 for all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    /// Path without leading slash.
    pub(super) name: &'a str,
    /// Inode number: unique, since no entry is a hard link.
    pub(super) inode: u32,
    /// File type and permission bits, as in `st_mode`.
    pub(super) mode: u32,
    /// Length of the content that follows.
    pub(super) len: u32,
    /// Major and minor number of a device, else 0.
    pub(super) device: (u32, u32),
}

impl Header<'_> {
    /// Writes header and name, padded to where the content begins.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let links = u32::from(self.name != TRAILER);
        let name_len = u32::try_from(self.name.len() + 1).map_err(|_| io::ErrorKind::InvalidInput)?;
        let fields = [
            self.inode,
            self.mode,
            0,
            0,
            links,
            0,
            self.len,
            0,
            0,
            self.device.0,
            self.device.1,
            name_len,
            0,
        ];
        out.write_all(b"070701")?;
        for field in fields {
            write!(out, "{field:08x}")?;
        }
        out.write_all(self.name.as_bytes())?;
        out.write_all(b"\0")?;
        pad(out, 110 + self.name.len() + 1)
    }
}

/// Fills up to a multiple of four after `written` bytes.
pub(super) fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
}
