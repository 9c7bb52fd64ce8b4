//! A layout kept beside the tree that it is of: just the addresses, since the tree says all the rest.

use std::collections::{BTreeMap, HashMap};

use super::{Body, Place, Plan, collect};
use crate::{
    erofs::{
        Extent, PreviousError,
        fields::Fields,
        inode::SLOT_BYTES,
        previous::{OldInode, Run},
        superblock::BLOCK,
    },
    tree::{Content, Node, Tree, TreePath},
};

/// Bytes of an inode's number: as many as 2³² blocks ask for.
const NUMBER_BYTES: usize = 5;
/// Bytes of an inode: its number and its first block.
const INODE_BYTES: usize = NUMBER_BYTES + 4;

/// An inode with its content, when it is a regular file.
pub(in crate::erofs) struct StoredInode {
    pub(in crate::erofs) inode: OldInode,
    pub(in crate::erofs) content: Option<Content>,
}

impl Plan {
    /// Every address of the image, for [`Previous::stored`](crate::erofs::Previous::stored): the number of blocks, then the
    /// number and first block of each inode in the order of their first paths.
    #[must_use]
    pub fn addresses(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.inodes.len() * INODE_BYTES);
        bytes.extend(self.blocks().to_le_bytes());
        for (_, place) in &self.inodes {
            let number = place.number().to_le_bytes();
            bytes.extend(number.get(..NUMBER_BYTES).unwrap_or_default());
            bytes.extend(place.block.to_le_bytes());
        }
        bytes
    }
}

/// The number of blocks and the inodes of the image of `tree` that had these addresses.
pub(in crate::erofs) fn restore(
    tree: &Tree,
    addresses: &[u8],
) -> Result<(u32, Vec<StoredInode>), PreviousError> {
    let collected = collect::collect(tree)?;
    let mut fields = Fields(addresses);
    let blocks = fields.u32().ok_or(PreviousError::Addresses)?;
    if addresses.len() != 4 + collected.len() * INODE_BYTES {
        return Err(PreviousError::Addresses);
    }
    let mut restored = Vec::with_capacity(collected.len());
    for planned in collected {
        let mut place = Place::shape(&planned);
        let number: [u8; NUMBER_BYTES] = fields.array().ok_or(PreviousError::Addresses)?;
        let mut bytes = [0; 8];
        bytes[..NUMBER_BYTES].copy_from_slice(&number);
        place.offset = u64::from_le_bytes(bytes) * SLOT_BYTES as u64;
        place.block = fields.u32().ok_or(PreviousError::Addresses)?;
        let inode = old_inode(&planned.body, &place);
        if !lies_within(&inode, blocks) {
            return Err(PreviousError::Addresses);
        }
        let content = match planned.body {
            Body::File(content) => Some(content),
            Body::Directory(_) | Body::Symlink(_) => None,
        };
        restored.push(StoredInode { inode, content });
    }
    Ok((blocks, restored))
}

fn old_inode(body: &Body, place: &Place) -> OldInode {
    let extent = Extent {
        offset: u64::from(place.block) * BLOCK,
        bytes: place.extent_bytes,
    };
    OldInode {
        kind: body.kind(),
        size: body.size(),
        record: Extent {
            offset: place.offset,
            bytes: place.metadata_bytes,
        },
        run: Some(extent).filter(|extent| extent.bytes > 0).and_then(Run::of),
    }
}

fn lies_within(inode: &OldInode, blocks: u32) -> bool {
    let end = inode
        .run
        .map_or(0, |run| u64::from(run.first) + u64::from(run.count));
    let record = inode.record.offset.checked_add(inode.record.bytes);
    end <= u64::from(blocks) && record.is_some_and(|end| end <= u64::from(blocks) * BLOCK)
}

/// The inode of every path, counted in the order of their first paths.
pub(in crate::erofs) fn names(tree: &Tree) -> BTreeMap<TreePath, usize> {
    let mut groups = HashMap::new();
    let mut next = 0;
    let mut count = || {
        next += 1;
        next - 1
    };
    let mut names = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let index = match &entry.node {
            Node::File(_, Some(group)) => *groups.entry(*group).or_insert_with(&mut count),
            _ => count(),
        };
        names.insert(path.clone(), index);
    }
    names
}
