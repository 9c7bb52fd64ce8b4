//! The plan of an image: every address, before a byte of content is read.

mod collect;
mod layout;

use uuid::Uuid;

use self::layout::Extent;
pub(super) use self::{
    collect::{Body, Planned},
    layout::Place,
};
use super::{
    ErofsError,
    inode::{FileType, Inode, SLOT_BYTES},
    superblock::{BLOCK, Superblock},
    xattr,
};
use crate::tree::Tree;

/// What an image says about itself beside its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// File system UUID.
    pub uuid: Uuid,
    /// Modification time of every file: seconds since 1970.
    pub time: u64,
    /// Volume name, at most 16 bytes.
    pub label: Option<String>,
}

/// A planned image. The same tree and options give the same plan, and the same bytes.
#[derive(Debug, Clone)]
pub struct Plan {
    superblock: Superblock,
    /// Inodes in the order of their first paths.
    inodes: Vec<(Planned, Place)>,
    /// The metadata area, in order.
    metadata: Vec<InodeIndex>,
    /// What follows the metadata area, in order and without gaps.
    extents: Vec<Extent>,
}

/// Position of an inode among those collected from the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InodeIndex(pub(super) usize);

impl Plan {
    /// Plans the image of `tree`.
    ///
    /// # Errors
    /// When the tree says something that the format can't: see [`ErofsError`].
    pub fn new(tree: &Tree, options: &Options) -> Result<Self, ErofsError> {
        let label = superblock_label(options.label.as_deref().unwrap_or_default())?;
        let collected = collect::collect(tree)?;
        let layout = layout::layout(collected)?;
        let root = layout.inodes.first().map_or(0, |(_, place)| place.number()); // slot 128: the second block's first
        let superblock = Superblock {
            uuid: options.uuid,
            label,
            time: options.time,
            inodes: layout.inodes.len() as u64,
            blocks: layout.blocks,
            root: u16::try_from(root).unwrap_or(0),
            metadata_block: 0,
            xattr_block: 0,
        };
        Ok(Self {
            superblock,
            inodes: layout.inodes,
            metadata: layout.metadata,
            extents: layout.extents,
        })
    }

    /// Size of the image in blocks of [`super::BLOCK_BYTES`].
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.superblock.blocks
    }

    /// Size of the image in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        u64::from(self.blocks()) * BLOCK
    }

    /// The superblock, as it will be written.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The metadata area's inodes, in order.
    pub(super) fn metadata(&self) -> impl Iterator<Item = &(Planned, Place)> {
        self.metadata.iter().filter_map(|index| self.inodes.get(index.0))
    }

    /// What follows the metadata area: each extent's inode and its bytes there.
    pub(super) fn extents(&self) -> impl Iterator<Item = (&Planned, u64)> {
        self.extents
            .iter()
            .filter_map(|extent| Some((&self.inodes.get(extent.inode.0)?.0, extent.bytes)))
    }

    /// The inode as stored, with its attributes, without an inline tail.
    pub(super) fn encode_inode(&self, planned: &Planned, place: &Place) -> Vec<u8> {
        let inode = Inode {
            layout: place.layout,
            xattr_count: xattr::count(planned.xattr_area.len()).unwrap_or(0), // checked when encoded
            mode: planned.mode | planned.body.kind().mode_bits(),
            size: planned.body.size(),
            links: planned.links,
            block: place.block,
            uid: planned.uid,
            gid: planned.gid,
            time: self.superblock.time,
        };
        let mut bytes = inode.encode();
        bytes.extend(&planned.xattr_area);
        bytes
    }

    /// The bytes of a folder.
    pub(super) fn encode_listing(&self, listing: &super::directory::Listing<InodeIndex>) -> Vec<u8> {
        listing.encode(|index| self.inodes.get(index.0).map_or(0, |(_, place)| place.number()))
    }
}

impl Body {
    pub(super) fn kind(&self) -> FileType {
        match self {
            Self::Directory(_) => FileType::Directory,
            Self::File(_) => FileType::Regular,
            Self::Symlink(_) => FileType::Symlink,
        }
    }

    /// `st_size`.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Directory(listing) => listing.size(),
            Self::File(content) => content.len(),
            Self::Symlink(target) => target.len() as u64,
        }
    }
}

impl Place {
    /// The inode number: which slot of the image it begins at.
    pub(super) fn number(&self) -> u64 {
        self.offset / SLOT_BYTES as u64
    }
}

fn superblock_label(text: &str) -> Result<[u8; 16], ErofsError> {
    let mut label = [0; 16];
    match label.get_mut(..text.len()) {
        Some(start) if !text.contains('\0') => start.copy_from_slice(text.as_bytes()),
        _ => return Err(ErofsError::Label(text.to_owned())),
    }
    Ok(label)
}
