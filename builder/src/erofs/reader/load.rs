//! Loads one inode with its attributes and finds its data.

use std::collections::BTreeMap;

use super::{Extent, Fault, ReadError, Reader, malformed};
use crate::{
    erofs::{
        fields::Fields,
        inode::{COMPACT_BYTES, EXTENDED_BYTES, FileType, Inode, Layout, SLOT_BYTES},
        superblock::BLOCK,
        xattr,
    },
    read_at::ReadAt,
    tree::Metadata,
};

/// Longest link target that Linux follows.
const MAX_TARGET_BYTES: u64 = 4095;

/// An inode with what lies behind it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) number: u64,
    pub(super) kind: FileType,
    pub(super) metadata: Metadata,
    pub(super) size: u64,
    pub(super) links: u32,
    pub(super) time: u64,
    pub(super) extents: Vec<Extent>,
    /// The inode, its attributes, its inline data.
    pub(super) record: Extent,
    /// The part of its data that lies in blocks.
    pub(super) blocks: Option<Extent>,
    /// Bytes of metadata that were read for it.
    pub(super) cost: u64,
}

/// An inode's data: none, one or both of these.
struct Data {
    blocks: Option<Extent>,
    inline: Option<Extent>,
}

impl<R: ReadAt> Reader<R> {
    /// Loads inode `number`. Its data is inside the image when this succeeds.
    pub(super) fn load(&self, number: u64) -> Result<Loaded, ReadError> {
        let fail = |fault| malformed(number, fault);
        let offset = number
            .checked_mul(SLOT_BYTES as u64)
            .and_then(|bytes| bytes.checked_add(u64::from(self.superblock().metadata_block) * BLOCK))
            .ok_or_else(|| fail(Fault::Outside))?;
        let (inode, bytes) = self.load_inode(offset, number)?;
        let kind = FileType::of_mode(inode.mode).ok_or_else(|| fail(Fault::Type(inode.mode)))?;
        let area_bytes = xattr::area_bytes(inode.xattr_count);
        let area = self.read_vec(offset + bytes, area_bytes, number)?;
        let behind = offset + bytes + area_bytes as u64;
        let Data { blocks, inline } = self.data(kind, &inode, behind, number)?;
        let cost = bytes + area_bytes as u64;
        Ok(Loaded {
            number,
            kind,
            metadata: Metadata {
                mode: inode.mode & 0o7777,
                uid: inode.uid,
                gid: inode.gid,
                xattrs: self.attributes(&area, number)?,
            },
            size: inode.size,
            links: inode.links,
            time: inode.time,
            extents: blocks.into_iter().chain(inline).collect(),
            record: Extent {
                offset,
                bytes: cost + inline.map_or(0, |inline| inline.bytes),
            },
            blocks,
            cost,
        })
    }

    /// The inode at `offset`, and how many bytes it has.
    fn load_inode(&self, offset: u64, number: u64) -> Result<(Inode, u64), ReadError> {
        let mut bytes = self.read_vec(offset, COMPACT_BYTES, number)?;
        if Fields(&bytes).u16().is_some_and(Inode::is_extended) {
            bytes = self.read_vec(offset, EXTENDED_BYTES, number)?;
        }
        let inode =
            Inode::decode(&bytes, self.superblock().time).map_err(|fault| malformed(number, fault))?;
        Ok((inode, bytes.len() as u64))
    }

    fn attributes(&self, area: &[u8], number: u64) -> Result<BTreeMap<String, Vec<u8>>, ReadError> {
        let fail = || malformed(number, Fault::Attributes);
        let xattr::Area { mut own, shared } = xattr::decode(area).ok_or_else(fail)?;
        for reference in shared {
            let offset = u64::from(self.superblock().xattr_block) * BLOCK + u64::from(reference) * 4;
            let left = self.size_bytes().saturating_sub(offset);
            let most =
                usize::try_from(left).map_or(xattr::MAX_ENTRY_BYTES, |left| left.min(xattr::MAX_ENTRY_BYTES));
            let bytes = self.read_vec(offset, most, number)?;
            let (name, value) = xattr::decode_entry(&mut Fields(&bytes)).ok_or_else(fail)?;
            if own.insert(name, value).is_some() {
                return Err(fail());
            }
        }
        Ok(own)
    }

    /// Where the inode's data lies; inline data starts at `behind`.
    fn data(&self, kind: FileType, inode: &Inode, behind: u64, number: u64) -> Result<Data, ReadError> {
        if !matches!(kind, FileType::Regular | FileType::Directory | FileType::Symlink) {
            return Ok(Data {
                blocks: None,
                inline: None,
            }); // the block field is a device number
        }
        let tail = match inode.layout {
            Layout::Plain => 0,
            Layout::Inline => inode.size % BLOCK,
        };
        let lost = inode.layout == Layout::Inline && tail == 0 && inode.size > 0;
        if lost || behind % BLOCK + tail > BLOCK {
            return Err(malformed(number, Fault::InlineTail));
        }
        let piece = |offset, bytes| match bytes {
            0 => Ok(None),
            _ => self
                .check(offset, bytes, number)
                .map(|()| Some(Extent { offset, bytes })),
        };
        Ok(Data {
            blocks: piece(u64::from(inode.block) * BLOCK, inode.size - tail)?,
            inline: piece(behind, tail)?,
        })
    }

    /// The target of a link.
    pub(super) fn target(&self, link: &Loaded) -> Result<String, ReadError> {
        let fail = || malformed(link.number, Fault::Target);
        if link.size == 0 || link.size > MAX_TARGET_BYTES {
            return Err(fail());
        }
        let mut target = Vec::new();
        for extent in &link.extents {
            let bytes = usize::try_from(extent.bytes).map_err(|_| fail())?;
            target.extend(self.read_vec(extent.offset, bytes, link.number)?);
        }
        String::from_utf8(target)
            .ok()
            .filter(|target| !target.contains('\0'))
            .ok_or_else(fail)
    }
}
