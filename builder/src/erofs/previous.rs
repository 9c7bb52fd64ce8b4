//! What of an older image decides over the layout of a newer one: where its inodes and contents lie.
//!
//! It comes from the image itself, or from the tree that the image was made of and [`Plan::addresses`]: both give the
//! same. An image may be anybody's: what is read here was checked by [`Reader`], and addresses are only ever wishes.
//!
//! [`Plan::addresses`]: super::Plan::addresses

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read},
};

use super::{
    ErofsError, Extent, FileType, Node, ReadError, Reader,
    plan::{StoredInode, restore},
    superblock::BLOCK,
};
use crate::{
    failure::FailureClass,
    read_at::ReadAt,
    tree::{Content, Tree, TreePath},
};

/// Bytes of all paths, and this much for each: more is no image that could be built on.
const MAX_PATHS_BYTES: usize = 256 << 20;
const BYTES_BESIDE_PATH: usize = 128;

/// Why nothing can be laid out like an older image.
#[derive(Debug, thiserror::Error)]
pub enum PreviousError {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It has so many names that it must be made to waste memory.
    #[error("list its files: their paths are longer than {} MiB together", MAX_PATHS_BYTES >> 20)]
    Names,
    /// Its tree can't have been made an image of.
    #[error("plan it again")]
    Plan(#[from] ErofsError),
    /// Its addresses aren't those of its tree.
    #[error("its recorded addresses don't belong to its files")]
    Addresses,
}

impl PreviousError {
    /// What the user can do about it.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Plan(error) => error.class(),
            Self::Names | Self::Addresses => FailureClass::Input,
        }
    }
}

/// The layout of an older image.
pub struct Previous<'c> {
    blocks: u32,
    /// In the order of their first paths.
    inodes: Vec<OldInode>,
    names: BTreeMap<TreePath, usize>,
    contents: Contents<'c>,
}

/// An inode of an older image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OldInode {
    pub(super) kind: FileType,
    pub(super) size: u64,
    /// The inode, its attributes and inline data.
    pub(super) record: Extent,
    /// The blocks of its data.
    pub(super) run: Option<Run>,
}

/// Consecutive blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// The contents of regular files, by inode.
enum Contents<'c> {
    Image(&'c (dyn ReadAt + Sync), Vec<Vec<Extent>>),
    Stored(Vec<Option<Content>>),
}

impl Run {
    /// The blocks of an extent that begins at one; none when it is longer than block numbers reach.
    pub(super) fn of(extent: Extent) -> Option<Self> {
        Some(Self {
            first: u32::try_from(extent.offset / BLOCK).ok()?,
            count: u32::try_from(extent.bytes.div_ceil(BLOCK)).ok()?,
        })
    }
}

impl<'c> Previous<'c> {
    /// Reads the layout of an image.
    ///
    /// # Errors
    /// When the image is malformed, or has too many names.
    pub fn read<R: ReadAt + Sync>(reader: &'c Reader<R>) -> Result<Self, PreviousError> {
        let mut entries = BTreeMap::new();
        let mut room = MAX_PATHS_BYTES;
        for entry in reader.walk() {
            let entry = entry?;
            let bytes = entry.path.as_str().len() + BYTES_BESIDE_PATH;
            room = room.checked_sub(bytes).ok_or(PreviousError::Names)?;
            let (inode, extents) = OldInode::of_entry(&entry);
            entries.insert(entry.path, (entry.inode, inode, extents));
        }
        let mut known = HashMap::new();
        let (mut inodes, mut pieces, mut names) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (path, (number, inode, extents)) in entries {
            let index = *known.entry(number).or_insert(inodes.len());
            if index == inodes.len() {
                inodes.push(inode);
                pieces.push(extents);
            }
            names.insert(path, index);
        }
        Ok(Self {
            blocks: reader.superblock().blocks,
            inodes,
            names,
            contents: Contents::Image(reader.source(), pieces),
        })
    }

    /// The layout of the image that was made of `tree` and has these [`Plan::addresses`](super::Plan::addresses).
    ///
    /// # Errors
    /// When they don't belong to each other.
    pub fn stored(tree: &Tree, addresses: &[u8]) -> Result<Previous<'static>, PreviousError> {
        let (blocks, stored) = restore(tree, addresses)?;
        let (mut inodes, mut contents) = (Vec::new(), Vec::new());
        for StoredInode { inode, content } in stored {
            inodes.push(inode);
            contents.push(content);
        }
        Ok(Previous {
            blocks,
            inodes,
            names: crate::erofs::plan::names(tree),
            contents: Contents::Stored(contents),
        })
    }

    /// Size of the image in blocks.
    #[must_use]
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Its paths, in order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &TreePath> {
        self.names.keys()
    }

    /// Which inode is at `path`.
    pub(super) fn at(&self, path: &TreePath) -> Option<usize> {
        self.names.get(path).copied()
    }

    /// The first path of an inode; the root's when there is no such inode.
    pub(super) fn path_of(&self, index: usize) -> TreePath {
        let found = self.names.iter().find(|(_, inode)| **inode == index);
        found.map_or_else(TreePath::root, |(path, _)| path.clone())
    }

    pub(super) fn inode(&self, index: usize) -> Option<&OldInode> {
        self.inodes.get(index)
    }

    pub(super) fn inodes(&self) -> &[OldInode] {
        &self.inodes
    }

    /// Opens the content of a regular file.
    pub(super) fn open(&self, index: usize) -> io::Result<Box<dyn Read + '_>> {
        match &self.contents {
            Contents::Image(source, pieces) => {
                let left = pieces.get(index).into_iter().flatten().rev().copied();
                Ok(Box::new(Pieces {
                    source: *source,
                    left: left.collect(),
                }))
            }
            Contents::Stored(contents) => match contents.get(index) {
                Some(Some(content)) => Ok(Box::new(content.open()?)),
                _ => Ok(Box::new(io::empty())),
            },
        }
    }

    /// Whether `content` is the very object of the store that the older image has, so that nothing need be read.
    pub(super) fn is_object(&self, index: usize, content: &Content) -> bool {
        match (&self.contents, content) {
            (Contents::Stored(contents), Content::Stored(new)) => {
                matches!(contents.get(index), Some(Some(Content::Stored(old))) if old.checksum == new.checksum)
            }
            _ => false,
        }
    }
}

impl std::fmt::Debug for Previous<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Previous")
            .field("blocks", &self.blocks)
            .field("inodes", &self.inodes)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl OldInode {
    /// The inode of a name, and where its content lies when it is a regular file.
    fn of_entry(entry: &super::Entry) -> (Self, Vec<Extent>) {
        let (kind, size, extents) = match &entry.node {
            Node::File { size, extents } => (FileType::Regular, *size, extents.clone()),
            Node::Symlink(target) => (FileType::Symlink, target.len() as u64, Vec::new()),
            Node::Directory => (FileType::Directory, entry.size, Vec::new()),
            Node::Special(kind) => (*kind, 0, Vec::new()),
        };
        let inode = Self {
            kind,
            size,
            record: entry.record,
            run: entry.blocks.and_then(Run::of),
        };
        (inode, extents)
    }
}

/// Reads pieces of an image one after the other.
struct Pieces<'c> {
    source: &'c (dyn ReadAt + Sync),
    /// What is left, the next one last.
    left: Vec<Extent>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.left.last_mut() else {
            return Ok(0);
        };
        let count = usize::try_from(piece.bytes).map_or(buffer.len(), |bytes| bytes.min(buffer.len()));
        let part = buffer.get_mut(..count).unwrap_or_default();
        self.source.read_exact_at(part, piece.offset)?;
        piece.offset += count as u64;
        piece.bytes -= count as u64;
        if piece.bytes == 0 {
            self.left.pop();
        }
        Ok(count)
    }
}
