//! Reads the content of a file.

use std::io::{self, Read};

use super::{Entry, Extent, Node, ReadError, Reader};
use crate::{read_at::ReadAt, tree::TreePath};

/// Reads a file of an image from its start.
#[derive(Debug)]
pub struct FileReader<'r, R> {
    reader: &'r Reader<R>,
    /// What is left, in order.
    extents: Vec<Extent>,
}

impl<R: ReadAt> Reader<R> {
    /// Opens a regular file that [`Reader::walk`] or [`Reader::find`] of this image has returned.
    ///
    /// # Errors
    /// When it is no regular file.
    pub fn file(&self, entry: &Entry) -> Result<FileReader<'_, R>, ReadError> {
        match &entry.node {
            Node::File { extents, .. } => Ok(FileReader {
                reader: self,
                extents: extents.iter().rev().copied().collect(),
            }),
            _ => Err(ReadError::NoFile(entry.path.clone())),
        }
    }

    /// All bytes of the regular file at `path`, `limit` of them at most; none when nothing is there.
    ///
    /// # Errors
    /// When the path is something else, or longer, or can't be read.
    pub fn read_file(&self, path: &TreePath, limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
        match self.find(path)? {
            Some(entry) => self.read_entry(&entry, limit).map(Some),
            None => Ok(None),
        }
    }

    /// All bytes of a regular file, `limit` of them at most.
    ///
    /// # Errors
    /// When the entry is something else, or longer, or can't be read.
    pub fn read_entry(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>, ReadError> {
        let Node::File { size, extents } = &entry.node else {
            return Err(ReadError::NoFile(entry.path.clone()));
        };
        let too_long = || ReadError::TooLong {
            path: entry.path.clone(),
            bytes: *size,
            limit,
        };
        if *size > limit {
            return Err(too_long());
        }
        let mut content = Vec::new();
        for extent in extents {
            let bytes = usize::try_from(extent.bytes).map_err(|_| too_long())?;
            content.extend(self.read_vec(extent.offset, bytes, entry.inode)?);
        }
        Ok(content)
    }
}

impl<R: ReadAt> Read for FileReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(extent) = self.extents.last_mut() else {
            return Ok(0);
        };
        let count = usize::try_from(extent.bytes).map_or(buffer.len(), |bytes| bytes.min(buffer.len()));
        let part = buffer.get_mut(..count).unwrap_or_default();
        self.reader.source.read_exact_at(part, extent.offset)?;
        extent.offset += count as u64;
        extent.bytes -= count as u64;
        if extent.bytes == 0 {
            self.extents.pop();
        }
        Ok(count)
    }
}
