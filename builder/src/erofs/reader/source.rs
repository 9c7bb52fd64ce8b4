//! Where an image's bytes come from.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// How many there are.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When the bytes can't be read, or there are fewer.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let source = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(source);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

/// A part of a file: a partition of a disk image, or all of it.
#[derive(Debug)]
pub struct FileRange {
    file: File,
    start: u64,
    size: u64,
}

impl FileRange {
    /// `size` bytes of `file` from `start` on. That they exist is checked when they are read.
    #[must_use]
    pub fn new(file: File, start: u64, size: u64) -> Self {
        Self { file, start, size }
    }

    /// All of `file`.
    ///
    /// # Errors
    /// When its length can't be found out.
    pub fn whole(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self::new(file, 0, size))
    }
}

impl ReadAt for FileRange {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        match (
            end.filter(|end| *end <= self.size),
            self.start.checked_add(offset),
        ) {
            (Some(_), Some(at)) => self.file.read_exact_at(buffer, at),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
