//! The plan of an image: every address, before a byte of content is read.

mod after;
mod collect;
mod layout;
mod report;
mod stored;

use uuid::Uuid;

use self::layout::{Extent, Placed};
pub use self::report::LayoutReport;
pub(super) use self::stored::{StoredInode, names, restore};
pub(super) use self::{
    collect::{Body, Planned},
    layout::Place,
};
use super::{
    ErofsError, Previous,
    inode::{FileType, Inode, SLOT_BYTES},
    superblock::{BLOCK, Superblock},
    xattr,
};
use crate::{progress::Phase, tree::Tree};

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
    /// The inodes in order of their offsets.
    metadata: Vec<InodeIndex>,
    /// What lies in blocks of its own, in order of the blocks.
    extents: Vec<Extent>,
}

/// What lies in an image behind its superblock.
pub(super) enum Part<'p> {
    /// An inode, with its attributes and inline data.
    Record(&'p Planned, &'p Place),
    /// As many bytes of an inode's data.
    Blocks(&'p Planned, u64),
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
        Self::placed(layout::layout(collect::collect(tree)?)?, options)
    }

    /// Plans the image of `tree` so that what an older image holds stays where it is: files that are the same keep their
    /// blocks and inode numbers, and what is new or changed goes into the room that others leave. The same tree,
    /// options and previous image give the same plan. `phase` advances by the bytes that are compared.
    ///
    /// The image never has more unused blocks than [`LayoutReport::MOST_FREE_PERCENT`] says, nor is it longer than one of [`Plan::new`] by
    /// more: files at its end move into holes until that holds.
    ///
    /// # Errors
    /// As [`Plan::new`]; and when a content, or the older image's, can't be read, or the user asked to stop.
    pub fn after(
        tree: &Tree,
        options: &Options,
        previous: &Previous<'_>,
        phase: &dyn Phase,
    ) -> Result<(Self, LayoutReport), ErofsError> {
        let fresh = layout::layout(collect::collect(tree)?)?;
        let (placed, report) = after::arrange(fresh, tree, previous, phase)?;
        Ok((Self::placed(placed, options)?, report))
    }

    fn placed(layout: Placed, options: &Options) -> Result<Self, ErofsError> {
        let label = superblock_label(options.label.as_deref().unwrap_or_default())?;
        let root = layout.inodes.first().map_or(0, |(_, place)| place.number()); // near the image's start, always
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

    /// What lies where, in order: each begins at its offset, behind the one before.
    pub(super) fn parts(&self) -> impl Iterator<Item = (u64, Part<'_>)> {
        let records = self.metadata.iter().filter_map(|index| {
            let (planned, place) = self.inodes.get(index.0)?;
            Some((place.offset, Part::Record(planned, place)))
        });
        let extents = self.extents.iter().filter_map(|extent| {
            let (planned, _) = self.inodes.get(extent.inode.0)?;
            let part = Part::Blocks(planned, extent.bytes);
            Some((u64::from(extent.block) * BLOCK, part))
        });
        let mut parts: Vec<_> = records.chain(extents).collect();
        parts.sort_by_key(|(offset, _)| *offset);
        parts.into_iter()
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
