//! Where everything goes. The order is explained at the head of [`crate::erofs`].

use std::collections::HashMap;

use super::{Body, InodeIndex, Planned};
use crate::{
    erofs::{
        ErofsError,
        inode::{Inode, Layout, SLOT_BYTES},
        superblock::BLOCK,
    },
    tree::{Content, TreePath},
};

/// Where an inode is, and how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::erofs) struct Place {
    /// Bytes from the start of the image.
    pub(in crate::erofs) offset: u64,
    pub(in crate::erofs) layout: Layout,
    /// First block of the data that isn't inline; 0 without any.
    pub(in crate::erofs) block: u32,
    /// Bytes of inode, attributes and inline tail.
    pub(in crate::erofs) metadata_bytes: u64,
    /// Bytes in blocks of their own.
    pub(in crate::erofs) extent_bytes: u64,
    group: Group,
}

/// Whole blocks of one inode, or of several with one content.
#[derive(Debug, Clone, Copy)]
pub(in crate::erofs) struct Extent {
    pub(in crate::erofs) inode: InodeIndex,
    /// The first of them.
    pub(in crate::erofs) block: u32,
    /// Bytes; the last block is filled with zeros.
    pub(in crate::erofs) bytes: u64,
}

/// Groups of inodes in the metadata area, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Folders; their entries hold inode numbers, so they change when anything moves.
    Folders,
    /// Files in blocks of their own; their inodes hold addresses.
    Addressed,
    /// Files and links that are all inline.
    Small,
}

/// The result.
pub(super) struct Placed {
    /// In the order they were collected.
    pub(super) inodes: Vec<(Planned, Place)>,
    /// The metadata area, in order.
    pub(super) metadata: Vec<InodeIndex>,
    pub(super) extents: Vec<Extent>,
    pub(super) blocks: u32,
}

/// Gives every collected inode its place. The root, collected first, gets the first one.
pub(super) fn layout(collected: Vec<Planned>) -> Result<Placed, ErofsError> {
    let mut inodes: Vec<(Planned, Place)> = collected
        .into_iter()
        .map(|planned| {
            let place = Place::shape(&planned);
            (planned, place)
        })
        .collect();
    let (metadata, end) = place_metadata(&mut inodes);
    let first = u32::try_from(end.div_ceil(BLOCK)).map_err(|_| ErofsError::TooLarge {
        path: TreePath::root(),
    })?;
    let (extents, blocks) = place_extents(&mut inodes, first)?;
    Ok(Placed {
        inodes,
        metadata,
        extents,
        blocks,
    })
}

impl Place {
    /// How `planned` will be stored; offset and block are still open.
    pub(super) fn shape(planned: &Planned) -> Self {
        let size = planned.body.size();
        let inode = Inode::encoded_bytes(size, planned.links, planned.uid, planned.gid);
        let fixed = (inode + planned.xattr_area.len()) as u64;
        let folder = matches!(planned.body, Body::Directory(_));
        // A folder's last block may be inline; a file is inline as a whole or not at all, so that its blocks stay the
        // same wherever it moves.
        let tail = if folder { size % BLOCK } else { size };
        let fits = tail > 0 && tail.checked_add(fixed).is_some_and(|bytes| bytes <= BLOCK);
        let inline = if fits { tail } else { 0 };
        let extent_bytes = size - inline;
        Self {
            offset: 0,
            layout: if fits { Layout::Inline } else { Layout::Plain },
            block: 0,
            metadata_bytes: fixed + inline,
            extent_bytes,
            group: match (folder, extent_bytes) {
                (true, _) => Group::Folders,
                (false, 0) => Group::Small,
                (false, _) => Group::Addressed,
            },
        }
    }
}

/// Places the inodes group by group; returns them in order of their offsets, and where the last one ends.
fn place_metadata(inodes: &mut [(Planned, Place)]) -> (Vec<InodeIndex>, u64) {
    let mut order = Vec::with_capacity(inodes.len());
    let mut end = BLOCK; // the superblock has the first block to itself
    for group in [Group::Folders, Group::Addressed, Group::Small] {
        let members = inodes
            .iter_mut()
            .enumerate()
            .filter(|(_, (_, place))| place.group == group);
        for (index, (_, place)) in members {
            place.offset = next_offset(end, place.metadata_bytes);
            end = place.offset + place.metadata_bytes;
            order.push(InodeIndex(index));
        }
    }
    (order, end)
}

/// The next slot from `end` on where `bytes` cross no block's border; a block's start when they are more than a block.
fn next_offset(end: u64, bytes: u64) -> u64 {
    let slot = end.next_multiple_of(SLOT_BYTES as u64);
    if slot % BLOCK + bytes <= BLOCK {
        slot
    } else {
        slot.next_multiple_of(BLOCK)
    }
}

/// Places the blocks of folders, then those of files, each in the order of their paths; returns the image's end, too.
fn place_extents(inodes: &mut [(Planned, Place)], first: u32) -> Result<(Vec<Extent>, u32), ErofsError> {
    let mut area = ExtentArea {
        next: first,
        extents: Vec::new(),
        stored: HashMap::new(),
    };
    for folders in [true, false] {
        let members = inodes
            .iter_mut()
            .enumerate()
            .filter(|(_, (_, place))| place.extent_bytes > 0 && (place.group == Group::Folders) == folders);
        for (index, (planned, place)) in members {
            place.block = area.place(InodeIndex(index), planned, place.extent_bytes)?;
        }
    }
    Ok((area.extents, area.next))
}

struct ExtentArea {
    next: u32,
    extents: Vec<Extent>,
    /// First block of each object of the tree store: one object's content is written once. Only looked up.
    stored: HashMap<String, u32>,
}

impl ExtentArea {
    fn place(&mut self, inode: InodeIndex, planned: &Planned, bytes: u64) -> Result<u32, ErofsError> {
        let object = match &planned.body {
            Body::File(Content::Stored(object)) => Some(&object.checksum),
            _ => None,
        };
        if let Some(block) = object.and_then(|object| self.stored.get(object)) {
            return Ok(*block);
        }
        let block = self.next;
        self.next = u32::try_from(bytes.div_ceil(BLOCK))
            .ok()
            .and_then(|blocks| block.checked_add(blocks))
            .ok_or_else(|| ErofsError::TooLarge {
                path: planned.path.clone(),
            })?;
        self.extents.push(Extent { inode, block, bytes });
        if let Some(object) = object {
            self.stored.insert(object.clone(), block);
        }
        Ok(block)
    }
}
