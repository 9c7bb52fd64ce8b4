//! The names of one folder, checked.

use super::{Fault, ReadError, Reader, load::Loaded, malformed};
use crate::{
    erofs::{
        directory::{self, RawEntry},
        inode::FileType,
        superblock::BLOCK,
    },
    read_at::ReadAt,
};

/// A name in a folder, without `.` and `..`.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) inode: u64,
    pub(super) kind: FileType,
}

impl<R: ReadAt> Reader<R> {
    /// The names of `folder` in order; `parent` is the inode that its `..` must mean.
    pub(super) fn children(&self, folder: &Loaded, parent: u64) -> Result<Vec<Child>, ReadError> {
        let fail = |fault| malformed(folder.number, fault);
        let mut listing = Listing {
            folder: folder.number,
            parent,
            dots: 0,
            last: Vec::new(),
            children: Vec::new(),
        };
        for extent in &folder.extents {
            let mut done = 0;
            while done < extent.bytes {
                let bytes = BLOCK.min(extent.bytes - done);
                let length = usize::try_from(bytes).map_err(|_| fail(Fault::Outside))?;
                let block = self.read_vec(extent.offset + done, length, folder.number)?;
                let entries = directory::decode_block(&block).ok_or_else(|| fail(Fault::Names))?;
                entries
                    .iter()
                    .try_for_each(|entry| listing.add(entry))
                    .map_err(fail)?;
                done += bytes;
            }
        }
        if listing.dots == 2 {
            Ok(listing.children)
        } else {
            Err(fail(Fault::Dots))
        }
    }
}

struct Listing {
    folder: u64,
    parent: u64,
    dots: u32,
    last: Vec<u8>,
    children: Vec<Child>,
}

impl Listing {
    fn add(&mut self, entry: &RawEntry<'_>) -> Result<(), Fault> {
        // The empty name is refused by this too: nothing sorts before it.
        if entry.name <= self.last.as_slice() {
            return Err(Fault::Order);
        }
        entry.name.clone_into(&mut self.last);
        let kind = FileType::of_code(entry.kind).ok_or(Fault::EntryType)?;
        let expected = match entry.name {
            b"." => Some(self.folder),
            b".." => Some(self.parent),
            _ => None,
        };
        match expected {
            Some(inode) if inode == entry.inode && kind == FileType::Directory => self.dots += 1,
            Some(_) => return Err(Fault::Dots),
            None => self.children.push(Child {
                name: checked_name(entry.name)?,
                inode: entry.inode,
                kind,
            }),
        }
        Ok(())
    }
}

/// One component of a path. Its other rules are checked where the path is put together.
fn checked_name(name: &[u8]) -> Result<String, Fault> {
    std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.contains('/'))
        .map(str::to_owned)
        .ok_or(Fault::Name)
}
