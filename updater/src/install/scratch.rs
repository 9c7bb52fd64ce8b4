//! A place for what is only needed while a release is installed.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// A place for the new release's hash trees, about 1/127 of it, and behind them for the bare form of the running kernel, 40 MB.
pub trait Scratch {
    /// Writes bytes, in any order.
    ///
    /// # Errors
    /// When there is no room.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads what was written.
    ///
    /// # Errors
    /// When it can't be read.
    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Scratch for File {
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }
}
