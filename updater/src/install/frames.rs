//! Frames out of a stream of a member's bytes.

use outcrop_release::{
    bundle::{MAX_FRAME_BLOCKS, MemberName, PREFIX_BYTES, PlacedFrame, unpack_frame},
    digest::FileDigest,
    verity::BLOCK_BYTES,
};

use super::error::InstallError;

/// Reads what the slot that is written to has at some byte of the payload.
pub(super) type ReadBack<'a> = &'a dyn Fn(u64, &mut [u8]) -> Result<(), InstallError>;

/// Decompresses frames, each behind the blocks before it. Memory: one frame, and those blocks.
pub(super) struct Unpacker {
    payload: MemberName,
    /// A frame's blocks, and the blocks before it.
    window: Vec<u8>,
    /// How much of the window the last frame took, and the block behind it.
    last: Option<(usize, u64)>,
}

impl Unpacker {
    pub(super) fn new(payload: MemberName) -> Self {
        Self {
            payload,
            window: vec![0; PREFIX_BYTES + MAX_FRAME_BLOCKS as usize * BLOCK_BYTES],
            last: None,
        }
    }

    /// The blocks of a frame, all blocks before which are written. Its digest is checked before the decompressor sees it; it can't give
    /// more than its blocks.
    pub(super) fn unpack(
        &mut self,
        placed: &PlacedFrame,
        bytes: &[u8],
        read_back: ReadBack<'_>,
    ) -> Result<&[[u8; BLOCK_BYTES]], InstallError> {
        let damaged = |why| InstallError::Frame {
            payload: self.payload,
            frame: placed.number,
            why,
        };
        let frame = &placed.frame;
        if FileDigest::of(bytes) != frame.sha256 {
            return Err(damaged("its digest is another"));
        }
        let prefix = placed.prefix_bytes();
        match self.last.take() {
            Some((end, behind)) if behind == placed.first => {
                self.window.copy_within(end.saturating_sub(prefix)..end, 0);
            }
            _ => {
                let room = self.window.get_mut(..prefix).unwrap_or_default();
                if !room.is_empty() {
                    read_back(placed.first * BLOCK_BYTES as u64 - prefix as u64, room)?;
                }
            }
        }
        let end = prefix + frame.blocks as usize * BLOCK_BYTES;
        let window = self.window.get_mut(..end).unwrap_or_default();
        if !unpack_frame(bytes, window, prefix) {
            return Err(damaged("it doesn't give its blocks"));
        }
        self.last = Some((end, placed.end_block()));
        Ok(self.window.get(prefix..end).unwrap_or_default().as_chunks().0)
    }
}

/// Takes a frame and its compressed bytes.
pub(super) type TakeFrame<'a, E> = &'a mut dyn FnMut(&PlacedFrame, &[u8]) -> Result<(), E>;

/// Cuts the bytes of frames, in their order and without what lies between them, into frames.
pub(super) struct Cutter<'a> {
    frames: &'a [PlacedFrame],
    bytes: Vec<u8>,
}

impl<'a> Cutter<'a> {
    /// Begins with the first of these frames.
    pub(super) const fn new(frames: &'a [PlacedFrame]) -> Self {
        Self {
            frames,
            bytes: Vec::new(),
        }
    }

    /// Takes the next bytes, and hands over each frame that they complete.
    pub(super) fn push<E>(&mut self, mut piece: &[u8], take: TakeFrame<'_, E>) -> Result<(), E> {
        while let Some((placed, behind)) = self.frames.split_first() {
            let missing = (placed.frame.bytes as usize).saturating_sub(self.bytes.len());
            let (now, rest) = piece.split_at(piece.len().min(missing));
            self.bytes.extend_from_slice(now);
            piece = rest;
            if now.len() < missing {
                break;
            }
            take(placed, &self.bytes)?;
            self.bytes.clear();
            self.frames = behind;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use outcrop_release::bundle::{Frame, FrameTable};

    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = (0..100).collect();
        let lengths = [10_u32, 1, 40, 49];
        let mut at = 0;
        let frames = lengths.map(|len| {
            let part = &bytes[at..at + len as usize];
            at += len as usize;
            Frame {
                blocks: 1,
                bytes: len,
                sha256: FileDigest::of(part),
            }
        });
        let table = FrameTable::new(frames).unwrap();
        for step in 1..=100 {
            let mut cutter = Cutter::new(&table.frames()[1..]);
            let mut seen = Vec::new();
            for piece in bytes[10..].chunks(step) {
                cutter
                    .push::<()>(piece, &mut |placed, bytes| {
                        assert_eq!(FileDigest::of(bytes), placed.frame.sha256);
                        seen.push(placed.number);
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(seen, [1, 2, 3], "{step}");
        }
    }
}
