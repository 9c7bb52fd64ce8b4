//! Reading and writing past the page cache (`O_DIRECT`), whatever the alignment that is asked for.
//!
//! Source: open(2), "`O_DIRECT`": memory, place and length must be multiples of the logical sector.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::{OFlags, ioctl_blksszget};

/// What an image's sectors are taken for.
const IMAGE_SECTOR_BYTES: u32 = 512;
/// What buffers are aligned to: enough for every disk.
const ALIGNMENT: usize = 4096;

/// A file that is read and written past the page cache.
#[derive(Debug)]
pub(crate) struct DirectFile {
    file: File,
    sector: u32,
}

impl DirectFile {
    pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<Self> {
        let file = options
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(path)?;
        let sector = if file.metadata()?.file_type().is_block_device() {
            ioctl_blksszget(&file)?
        } else {
            IMAGE_SECTOR_BYTES
        };
        Ok(Self { file, sector })
    }

    /// Length of a logical sector, in bytes.
    pub(super) const fn sector_bytes(&self) -> u32 {
        self.sector
    }

    /// Fills `buffer` with the bytes from `at` on.
    pub(crate) fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let around = self.sectors_around(at, buffer.len())?;
        let mut memory = Memory::new(around.len);
        self.file.read_exact_at(memory.bytes_mut(), around.start)?;
        let found = memory
            .bytes_mut()
            .get(around.before..around.before + buffer.len());
        buffer.copy_from_slice(found.unwrap_or_default());
        Ok(())
    }

    /// Writes `bytes` at `at`. Where they don't fill whole sectors, the rest of those is written as it is.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let around = self.sectors_around(at, bytes.len())?;
        let mut memory = Memory::new(around.len);
        if around.len != bytes.len() {
            self.file.read_exact_at(memory.bytes_mut(), around.start)?;
        }
        if let Some(place) = memory
            .bytes_mut()
            .get_mut(around.before..around.before + bytes.len())
        {
            place.copy_from_slice(bytes);
        }
        self.file.write_all_at(memory.bytes_mut(), around.start)
    }

    /// Brings what was written to the medium.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The whole sectors that hold `len` bytes from `at` on.
    fn sectors_around(&self, at: u64, len: usize) -> io::Result<Around> {
        let sector = u64::from(self.sector.max(1));
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let start = at / sector * sector;
        let before = usize::try_from(at - start).map_err(too_long)?;
        let len = (at - start + len as u64).next_multiple_of(sector);
        Ok(Around {
            start,
            before,
            len: usize::try_from(len).map_err(too_long)?,
        })
    }
}

/// Whole sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Around {
    /// Where they begin.
    start: u64,
    /// Bytes of them before what is meant.
    before: usize,
    /// Their length, in bytes.
    len: usize,
}

/// Aligned memory.
struct Memory {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Memory {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Self { bytes, start, len }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let range = self.start..self.start + self.len;
        self.bytes.get_mut(range).unwrap_or_default()
    }
}
