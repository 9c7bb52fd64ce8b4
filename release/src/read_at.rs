//! Reading at an offset: from a disk, a partition of it, a file inside that, or bytes in memory.

use std::{io, sync::Arc};

/// Bytes that can be read at any offset.
pub trait ReadAt {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when that is past the end; whatever the file system says else.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` bytes from `offset` on, for small things: the caller has bounded `len`.
    ///
    /// # Errors
    /// As [`ReadAt::read_exact_at`]; nothing is allocated when the range is past the end.
    fn read_vec(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        check_range(self.len(), offset, len as u64)?;
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let rest = self.get(start..).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = rest.get(..buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        ReadAt::len(self.as_slice())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

/// A contiguous part of another source: a partition, or a file that lies in one piece.
#[derive(Debug, Clone)]
pub struct Window<S> {
    source: S,
    start: u64,
    len: u64,
}

impl<S: ReadAt> Window<S> {
    /// The `len` bytes from `start` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when they are not all there.
    pub fn new(source: S, start: u64, len: u64) -> io::Result<Self> {
        check_range(source.len(), start, len)?;
        Ok(Self { source, start, len })
    }
}

impl<S: ReadAt> ReadAt for Window<S> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check_range(self.len, offset, buffer.len() as u64)?;
        self.source.read_exact_at(buffer, self.start + offset)
    }
}

/// Refuses a range that isn't within `total` bytes.
fn check_range(total: u64, offset: u64, len: u64) -> io::Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= total => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_shows_its_part_and_nothing_else() {
        let window = Window::new(b"0123456789".to_vec(), 2, 5).unwrap();
        assert_eq!(window.read_vec(1, 4).unwrap(), b"3456");
        assert!(window.read_vec(1, 5).is_err());
        assert!(window.read_vec(u64::MAX, 2).is_err());
        assert!(window.read_vec(0, usize::MAX).is_err());
    }

    #[test]
    fn a_window_past_the_end_cant_be_made() {
        assert!(Window::new(vec![0; 10], 6, 5).is_err());
        assert!(Window::new(vec![0; 10], u64::MAX, 2).is_err());
        assert!(Window::new(vec![0; 10], 10, 0).unwrap().is_empty());
    }
}
