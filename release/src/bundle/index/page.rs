//! Pages: the frames of a stretch of a payload, believed by a digest of their own.

use super::{
    ENTRY_BYTES, Frame, FrameTable, IndexError, MAX_FRAME_BLOCKS, PAGE_FRAMES, PlacedFrame, table::place,
};
use crate::{bundle::Place, digest::FileDigest};

/// What the top table says of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// Its first frame's first block.
    pub(super) block: u64,
    /// Its first frame's first byte, from the start of the payload's member.
    pub(super) byte: u64,
    /// Of its bytes.
    pub(super) sha256: FileDigest,
}

/// Where the pages of one payload begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageTable {
    pages: Vec<Page>,
    frames: u64,
    /// Blocks and bytes of all.
    totals: (u64, u64),
    /// Where the first page lies in the index.
    start: u64,
}

impl PageTable {
    /// Believes nothing that can't be: pages follow one another, and each has room for its frames.
    pub(super) fn new(
        pages: Vec<Page>,
        frames: u64,
        totals: (u64, u64),
        start: u64,
    ) -> Result<Self, IndexError> {
        let table = Self {
            pages,
            frames,
            totals,
            start,
        };
        if frames == 0 || table.from(0) != (0, 0) {
            return Err(IndexError::Form);
        }
        (0..table.len()).try_for_each(|number| table.check(number))?;
        Ok(table)
    }

    fn check(&self, number: usize) -> Result<(), IndexError> {
        let ((block, byte), (end_block, end_byte)) = (self.from(number), self.from(number + 1));
        let frames = self.frames_of(number);
        let blocks = end_block.checked_sub(block).ok_or(IndexError::Page(number))?;
        let bytes = end_byte.checked_sub(byte).ok_or(IndexError::Page(number))?;
        let is_possible = (frames..=frames * u64::from(MAX_FRAME_BLOCKS)).contains(&blocks)
            && (frames..=Frame::longest_of(frames, blocks)).contains(&bytes);
        if is_possible {
            Ok(())
        } else {
            Err(IndexError::Sum {
                frames,
                blocks,
                bytes,
            })
        }
    }

    /// First block and first byte of a page; behind the last, the totals.
    fn from(&self, number: usize) -> (u64, u64) {
        self.pages
            .get(number)
            .map_or(self.totals, |page| (page.block, page.byte))
    }

    fn frames_of(&self, number: usize) -> u64 {
        let before = number as u64 * PAGE_FRAMES as u64;
        self.frames.saturating_sub(before).min(PAGE_FRAMES as u64)
    }

    /// How many pages there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Blocks of the payload.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.totals.0
    }

    /// The page that has a block's frame; none past the end.
    #[must_use]
    pub fn page_of(&self, block: u64) -> Option<usize> {
        let after = self.pages.partition_point(|page| page.block <= block);
        after.checked_sub(1).filter(|_| block < self.totals.0)
    }

    /// The block behind a page's last.
    #[must_use]
    pub fn end_block(&self, number: usize) -> u64 {
        self.from(number.saturating_add(1)).0
    }

    /// About how many bytes the frames of so many blocks have, from `first` on: by the page that begins there.
    #[must_use]
    pub fn bytes_about(&self, first: u64, blocks: u64) -> u64 {
        let Some(page) = self.page_of(first) else { return 0 };
        let ((block, byte), (end_block, end_byte)) = (self.from(page), self.from(page + 1));
        let share = u128::from(end_byte - byte) * u128::from(blocks) / u128::from((end_block - block).max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// Where a page lies in the index.
    #[must_use]
    pub fn place(&self, number: usize) -> Option<Place> {
        self.pages.get(number)?;
        let page = (PAGE_FRAMES * ENTRY_BYTES) as u64;
        Some(Place {
            start: self.start.checked_add(page.checked_mul(number as u64)?)?,
            bytes: self.frames_of(number) * ENTRY_BYTES as u64,
        })
    }

    /// Reads a page. Nothing in it is used before its digest is compared.
    ///
    /// # Errors
    /// [`IndexError::Page`] when it isn't what the top table says; [`IndexError::Frame`] for a frame that can't be.
    pub fn decode(&self, number: usize, bytes: &[u8]) -> Result<Vec<PlacedFrame>, IndexError> {
        let wrong = IndexError::Page(number);
        let page = self.pages.get(number).ok_or_else(|| wrong.clone())?;
        let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        if FileDigest::of(bytes) != page.sha256
            || !rest.is_empty()
            || entries.len() as u64 != self.frames_of(number)
        {
            return Err(wrong);
        }
        let first = u32::try_from(number * PAGE_FRAMES).map_err(|_| IndexError::Form)?;
        let frames = place((first, page.block, page.byte), entries.iter().map(frame))?;
        let end = frames.last().map(|last| (last.end_block(), last.end()));
        if end == Some(self.from(number + 1)) {
            Ok(frames)
        } else {
            Err(wrong)
        }
    }
}

/// The bytes of all pages.
pub(super) fn encode(table: &FrameTable) -> Vec<Vec<u8>> {
    table
        .frames()
        .chunks(PAGE_FRAMES)
        .map(|page| page.iter().flat_map(|placed| entry(&placed.frame)).collect())
        .collect()
}

fn entry(frame: &Frame) -> impl Iterator<Item = u8> {
    let (blocks, bytes) = (frame.blocks.to_le_bytes(), frame.bytes.to_le_bytes());
    blocks.into_iter().chain(bytes).chain(*frame.sha256.as_bytes())
}

fn frame(entry: &[u8; ENTRY_BYTES]) -> Frame {
    let word = |at: usize| {
        let bytes = std::array::from_fn(|index| entry.get(at + index).copied().unwrap_or_default());
        u32::from_le_bytes(bytes)
    };
    let digest = std::array::from_fn(|index| entry.get(8 + index).copied().unwrap_or_default());
    Frame {
        blocks: word(0),
        bytes: word(4),
        sha256: FileDigest::from_bytes(digest),
    }
}
