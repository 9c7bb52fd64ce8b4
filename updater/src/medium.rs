//! Where small files are kept: the data partition, or, in tests, one that has no room.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use crate::durable::{self, DurableError};

/// A file system, as far as the history and what is remembered of releases write to it.
pub trait Medium {
    /// Appends to the file `path`, which is there. When this returns, the bytes survive a power cut.
    ///
    /// # Errors
    /// When there is no room, or the file system fails: then any number of the bytes may be there.
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file `path` with these bytes.
    ///
    /// # Errors
    /// As [`Medium::append`].
    fn make(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Replaces the file `path`, as [`durable::replace`] does.
    ///
    /// # Errors
    /// As [`durable::replace`]: the old content is untouched then.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), DurableError>;

    /// Writes over the first bytes of the file `path`, which is there. That takes no room where the file has its block already; a power
    /// cut leaves the old bytes or the new as long as they are fewer than a sector's.
    ///
    /// # Errors
    /// As [`Medium::append`].
    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// The device's own.
#[derive(Debug, Clone, Copy)]
pub struct DataPartition;

impl Medium for DataPartition {
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn make(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(path, bytes)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
        durable::replace(path, bytes)
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()
    }
}

/// Whether it is for want of room that something can't be written.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
