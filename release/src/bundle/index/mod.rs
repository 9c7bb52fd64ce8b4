//! The frame table: which blocks of a payload are in which frame, where the frame lies, and its digest.
//!
//! Frames follow one another without gaps, in the payload and in the member, so that a table needs only lengths. The digest
//! is that of the *compressed* bytes: it is checked before the decompressor sees them.
//!
//! The member begins with a [`TopTable`] that says where each page of frames begins, and the page's digest; the manifest has
//! the digest of the top table. So a device fetches the pages of the blocks that it lacks, and believes each by itself.

mod page;
mod table;
#[cfg(test)]
mod tests;
mod top;

pub use page::PageTable;
pub use table::{Frame, FrameTable, MAX_FRAME_BLOCKS, PREFIX_BYTES, PlacedFrame};
pub use top::TopTable;

use crate::{
    digest::FileDigest,
    manifest::{Manifest, Member, Target},
    verity::BLOCK_BYTES,
};

/// Frames of a page; the last one of a payload has what is left.
pub const PAGE_FRAMES: usize = 64;

/// Bytes of a frame's entry in a page.
const ENTRY_BYTES: usize = 40;

/// Both payloads' frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The boot payload's.
    pub boot: FrameTable,
    /// The root file system's.
    pub root: FrameTable,
}

/// The member's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedIndex {
    /// All of them.
    pub bytes: Vec<u8>,
    /// How many of them are the top table.
    pub top_bytes: usize,
}

/// Bytes that are no frame table of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The signature, the version or the length is wrong.
    #[error("the bundle's index is damaged, or of a newer format")]
    Form,
    /// The manifest says that it is longer than the index of its payloads can be.
    #[error("the top of the bundle's index has {0} bytes: no release has one so long")]
    Length(u64),
    /// The top table isn't what the manifest says.
    #[error("the top of the bundle's index has the digest {found}, the manifest says {expected}")]
    Top {
        /// The manifest's.
        expected: FileDigest,
        /// What was found.
        found: FileDigest,
    },
    /// A page isn't what the top table says.
    #[error("page {0} of the bundle's index isn't what its top says")]
    Page(usize),
    /// A frame is empty, too large, or longer than compressing could make it.
    #[error("frame {0} of the bundle's index can't be: {1} blocks in {2} bytes")]
    Frame(u32, u32, u32),
    /// The frames don't add up to what the manifest says.
    #[error("{frames} frames can't hold {blocks} blocks in {bytes} bytes")]
    Sum {
        /// How many frames.
        frames: u64,
        /// Their blocks.
        blocks: u64,
        /// Their bytes.
        bytes: u64,
    },
}

impl EncodedIndex {
    /// The digest of all, and that of the top table.
    #[must_use]
    pub fn members(&self) -> (Member, Member) {
        let member = |bytes: &[u8]| Member {
            bytes: bytes.len() as u64,
            sha256: FileDigest::of(bytes),
        };
        let top = self.bytes.get(..self.top_bytes).unwrap_or_default();
        (member(&self.bytes), member(top))
    }
}

impl Index {
    /// The member's bytes: the top table, then the pages of both payloads.
    #[must_use]
    pub fn encode(&self) -> EncodedIndex {
        let (boot, root) = (page::encode(&self.boot), page::encode(&self.root));
        let mut bytes = top::encode(&self.boot, &self.root, &boot, &root);
        let top_bytes = bytes.len();
        bytes.extend(boot.concat());
        bytes.extend(root.concat());
        EncodedIndex { bytes, top_bytes }
    }

    /// Reads the member of a release and checks that its frames are all of the release.
    ///
    /// # Errors
    /// See [`IndexError`]. Nothing is allocated that `bytes` doesn't hold.
    pub fn decode(bytes: &[u8], manifest: &Manifest) -> Result<Self, IndexError> {
        let len = usize::try_from(manifest.members.index_top.bytes).map_err(|_| IndexError::Form)?;
        let top = TopTable::decode(bytes.get(..len).ok_or(IndexError::Form)?, manifest)?;
        if bytes.len() as u64 != manifest.members.index.bytes {
            return Err(IndexError::Form);
        }
        let table = |pages: &PageTable| {
            let mut frames = Vec::new();
            for number in 0..pages.len() {
                let place = pages.place(number).ok_or(IndexError::Page(number))?;
                let start = usize::try_from(place.start).map_err(|_| IndexError::Form)?;
                let page = bytes.get(start..).ok_or(IndexError::Form)?;
                let len = usize::try_from(place.bytes).map_err(|_| IndexError::Form)?;
                frames.extend(pages.decode(number, page.get(..len).ok_or(IndexError::Form)?)?);
            }
            Ok(FrameTable::of_placed(frames))
        };
        Ok(Self {
            boot: table(&top.boot)?,
            root: table(&top.root)?,
        })
    }
}

/// Blocks of a payload, and bytes of its member.
const fn totals(target: &Target, member: &Member) -> (u64, u64) {
    (target.bytes / BLOCK_BYTES as u64, member.bytes)
}
