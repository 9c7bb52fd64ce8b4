//! A file system with as much room as a test leaves it.

use std::{
    cell::Cell,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    durable::{self, DurableError},
    medium::{DataPartition, Medium},
};

/// Files take whole blocks of so many bytes.
const BLOCK: u64 = 4096;

/// The folder of a test, as if it were a disk of its own: its files take whole blocks, folders and names take nothing.
pub(crate) struct FullDisk {
    root: PathBuf,
    /// In bytes.
    capacity: Cell<u64>,
}

impl FullDisk {
    /// A disk with room for everything.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            capacity: Cell::new(u64::MAX),
        }
    }

    /// Somebody else takes all room but `bytes`.
    pub(crate) fn leave(&self, bytes: u64) {
        self.capacity.set(used(&self.root) + bytes);
    }

    /// Whether somebody has taken room.
    pub(crate) fn is_tight(&self) -> bool {
        self.capacity.get() != u64::MAX
    }

    fn room(&self) -> u64 {
        self.capacity.get().saturating_sub(used(&self.root))
    }

    /// Writes as many of the bytes as there is room for, behind `len` that the file has.
    fn write(&self, path: &Path, len: u64, bytes: &[u8]) -> io::Result<()> {
        let in_last_block = len.next_multiple_of(BLOCK) - len;
        let room = in_last_block.saturating_add(self.room() / BLOCK * BLOCK);
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(&bytes[..fits])?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Medium for FullDisk {
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write(path, fs::metadata(path)?.len(), bytes)
    }

    fn make(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(path, "")?;
        self.write(path, 0, bytes)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
        let new = path.with_extension("new");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = self.make(&new, bytes);
        fs::remove_file(&new).unwrap();
        made.map_err(|source| DurableError {
            doing: "write",
            path: new,
            source,
        })?;
        durable::replace(path, bytes)
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let len = fs::metadata(path)?.len();
        let has = len.next_multiple_of(BLOCK).saturating_add(self.room());
        if (bytes.len() as u64) > has {
            return Err(io::ErrorKind::StorageFull.into());
        }
        DataPartition.overwrite(path, bytes)
    }
}

/// Bytes of all blocks.
fn used(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => used(&entry.path()),
        Ok(facts) => facts.len().next_multiple_of(BLOCK),
        Err(_) => 0,
    });
    bytes.sum()
}
