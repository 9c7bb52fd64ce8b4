//! What readers of partition tables and file systems see of an image's head and of a medium.

use std::io;

use outcrop_release::read_at::ReadAt;

use super::{buffer::ALIGNMENT, target::Target};

/// The head, as the start of a disk that is as long as one likes.
pub(super) struct Head<'h>(pub(super) &'h [u8]);

impl ReadAt for Head<'_> {
    fn len(&self) -> u64 {
        u64::MAX
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// A medium's bytes, at any place.
pub(super) struct OnMedium<'t>(pub(super) &'t dyn Target);

impl ReadAt for OnMedium<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let page = ALIGNMENT as u64;
        let start = offset - offset % page;
        let skip = usize::try_from(offset - start).map_err(io::Error::other)?;
        let mut pages = vec![0; (skip + buffer.len()).next_multiple_of(ALIGNMENT)];
        self.0.read(start, &mut pages)?;
        let wanted = pages.get(skip..skip + buffer.len());
        buffer.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
