//! Reads images without trusting them: every address is checked, and work is bounded by the image's size.

mod error;
mod file;
mod load;
mod names;
mod walk;

pub use self::{
    error::{Fault, ReadError},
    file::FileReader,
    walk::Walk,
};
use super::{
    inode::FileType,
    superblock::{BLOCK, BLOCK_BYTES, Superblock},
};
use crate::{
    read_at::ReadAt,
    tree::{Metadata, TreePath},
};

/// An opened image.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    superblock: Superblock,
}

/// One name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: TreePath,
    /// Owner, permissions, attributes.
    pub metadata: Metadata,
    /// What it is.
    pub node: Node,
    /// Inode number: names with the same one are one file.
    pub inode: u64,
    /// How many names the inode says it has.
    pub links: u32,
    /// Modification time, seconds since 1970.
    pub time: u64,
    /// `st_size`: of a folder the length of its list, of a link that of its target.
    pub size: u64,
    /// Where the inode lies with its attributes and its inline data.
    pub record: Extent,
    /// Its data that lies in blocks of its own; of files, folders and links.
    pub blocks: Option<Extent>,
}

/// What a name of an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Directory,
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Where its bytes lie, in order: none, one or two pieces.
        extents: Vec<Extent>,
    },
    /// A symbolic link with its target.
    Symlink(String),
    /// A device, pipe or socket. Outcrop's images have none.
    Special(FileType),
}

/// Consecutive bytes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// From the start of the image.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

impl<R: ReadAt> Reader<R> {
    /// Opens the image in `source`, which may be longer than the image.
    ///
    /// # Errors
    /// When there is no image, or it is damaged, or needs what isn't read here.
    pub fn open(source: R) -> Result<Self, ReadError> {
        let mut block = [0; BLOCK_BYTES];
        let found = source.len();
        if found < BLOCK {
            return Err(ReadError::NotErofs);
        }
        read_at(&source, &mut block, 0)?;
        let superblock = Superblock::decode(&block)?;
        let expected = u64::from(superblock.blocks) * BLOCK;
        if expected > found {
            return Err(ReadError::Truncated { expected, found });
        }
        Ok(Self { source, superblock })
    }

    /// What the image says about itself.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Size of the image in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        u64::from(self.superblock.blocks) * BLOCK
    }

    /// What the image is read from.
    pub(super) const fn source(&self) -> &R {
        &self.source
    }

    /// Fills `buffer` from `offset`, which was checked to lie in the image.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        read_at(&self.source, buffer, offset)
    }

    /// `bytes` bytes from `offset`; `inode` says on whose behalf.
    fn read_vec(&self, offset: u64, bytes: usize, inode: u64) -> Result<Vec<u8>, ReadError> {
        self.check(offset, bytes as u64, inode)?;
        let mut buffer = vec![0; bytes];
        self.read(&mut buffer, offset)?;
        Ok(buffer)
    }

    fn check(&self, offset: u64, bytes: u64, inode: u64) -> Result<(), ReadError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.size_bytes() => Ok(()),
            _ => Err(malformed(inode, Fault::Outside)),
        }
    }
}

fn read_at(source: &impl ReadAt, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
    source
        .read_exact_at(buffer, offset)
        .map_err(|source| ReadError::Io {
            offset,
            bytes: buffer.len(),
            source,
        })
}

fn malformed(inode: u64, fault: Fault) -> ReadError {
    ReadError::Malformed { inode, fault }
}
