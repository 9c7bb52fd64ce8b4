//! Frames, and all of a payload's in their order.

use super::IndexError;
use crate::{digest::FileDigest, verity};

/// Most blocks of 4096 bytes in a frame: 1 MiB, which a device holds in memory twice (compressed and not).
pub const MAX_FRAME_BLOCKS: u32 = 256;
/// Bytes of the payload right before a frame that its matches may reach into; fewer at the payload's start.
pub const PREFIX_BYTES: usize = 64 << 10;
/// Most that a frame may have grown when it was compressed, in bytes. Source: zstd, `ZSTD_COMPRESSBOUND`, rounded up.
const MAX_GROWTH: u64 = 8192;

/// Some blocks of a payload, compressed with what is before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// How many blocks, from 1 to [`MAX_FRAME_BLOCKS`].
    pub blocks: u32,
    /// Compressed length, in bytes.
    pub bytes: u32,
    /// SHA-256 of the compressed bytes.
    pub sha256: FileDigest,
}

/// A frame, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlacedFrame {
    /// Its number, from the payload's start.
    pub number: u32,
    /// Its first block, from the payload's start.
    pub first: u64,
    /// Its first byte, from the member's start.
    pub start: u64,
    /// The frame itself.
    pub frame: Frame,
}

/// All frames of one payload, with where each begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrameTable {
    frames: Vec<PlacedFrame>,
    /// Blocks and bytes of all.
    totals: (u64, u64),
}

impl Frame {
    /// Most bytes that frames of so many blocks together can have.
    pub(super) const fn longest_of(frames: u64, blocks: u64) -> u64 {
        blocks * verity::BLOCK_BYTES as u64 + frames * MAX_GROWTH
    }

    pub(super) fn check(&self, number: u32) -> Result<(), IndexError> {
        let Self { blocks, bytes, .. } = *self;
        let is_possible = (1..=MAX_FRAME_BLOCKS).contains(&blocks)
            && bytes > 0
            && u64::from(bytes) <= Self::longest_of(1, blocks.into());
        if is_possible {
            Ok(())
        } else {
            Err(IndexError::Frame(number, blocks, bytes))
        }
    }
}

impl PlacedFrame {
    /// The block behind its last.
    #[must_use]
    pub fn end_block(&self) -> u64 {
        self.first + u64::from(self.frame.blocks)
    }

    /// How many bytes of the payload right before it have to be there when it is unpacked.
    #[must_use]
    pub fn prefix_bytes(&self) -> usize {
        let before = self.first.saturating_mul(verity::BLOCK_BYTES as u64);
        usize::try_from(before).map_or(PREFIX_BYTES, |before| before.min(PREFIX_BYTES))
    }

    /// The byte behind its last, from the member's start.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + u64::from(self.frame.bytes)
    }
}

/// Puts frames behind one another, the first one of number, block and byte of `from`.
pub(super) fn place(
    from: (u32, u64, u64),
    frames: impl Iterator<Item = Frame>,
) -> Result<Vec<PlacedFrame>, IndexError> {
    let (mut number, mut first, mut start) = from;
    let mut placed = Vec::with_capacity(frames.size_hint().0);
    for frame in frames {
        frame.check(number)?;
        let next = PlacedFrame {
            number,
            first,
            start,
            frame,
        };
        (number, first, start) = (number.saturating_add(1), next.end_block(), next.end());
        placed.push(next);
    }
    Ok(placed)
}

impl FrameTable {
    /// Puts frames in order.
    ///
    /// # Errors
    /// [`IndexError::Frame`] for one that can't be.
    pub fn new(frames: impl IntoIterator<Item = Frame>) -> Result<Self, IndexError> {
        let frames = place((0, 0, 0), frames.into_iter())?;
        Ok(Self::of_placed(frames))
    }

    pub(super) fn of_placed(frames: Vec<PlacedFrame>) -> Self {
        let totals = frames
            .last()
            .map_or((0, 0), |last| (last.end_block(), last.end()));
        Self { frames, totals }
    }

    /// All frames, in order.
    #[must_use]
    pub fn frames(&self) -> &[PlacedFrame] {
        &self.frames
    }

    /// The frame that holds a block; none past the end.
    #[must_use]
    pub fn frame_of(&self, block: u64) -> Option<&PlacedFrame> {
        let after = self.frames.partition_point(|frame| frame.first <= block);
        let frame = self.frames.get(after.checked_sub(1)?)?;
        (block < frame.end_block()).then_some(frame)
    }

    /// Blocks and bytes of all frames.
    #[must_use]
    pub const fn totals(&self) -> (u64, u64) {
        self.totals
    }
}
