//! Frames out of a stream of a member's bytes.

use outcrop_release::{
    bundle::{MAX_FRAME_BLOCKS, MemberName, PlacedFrame},
    digest::FileDigest,
    verity::BLOCK_BYTES,
};
use zstd::{bulk::Decompressor, zstd_safe::DParameter};

use super::error::InstallError;

/// Log2 of the largest window that memory is reserved for: docs/formats.md, "Index".
const WINDOW_LOG: u32 = 20;

/// Decompresses frames. Memory: one frame.
pub(super) struct Unpacker {
    payload: MemberName,
    decompressor: Decompressor<'static>,
    plain: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new(payload: MemberName) -> Result<Self, InstallError> {
        let damaged = |_| InstallError::Frame {
            payload,
            frame: 0,
            why: "there is no memory to decompress it",
        };
        let mut decompressor = Decompressor::new().map_err(damaged)?;
        decompressor
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG))
            .map_err(damaged)?;
        Ok(Self {
            payload,
            decompressor,
            plain: vec![0; MAX_FRAME_BLOCKS as usize * BLOCK_BYTES],
        })
    }

    /// The blocks of a frame. Its digest is checked before the decompressor sees it; it can't give more than its blocks.
    pub(super) fn unpack(
        &mut self,
        placed: &PlacedFrame,
        bytes: &[u8],
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
        let expected = frame.blocks as usize * BLOCK_BYTES;
        let plain = self.plain.get_mut(..expected).unwrap_or_default();
        match self.decompressor.decompress_to_buffer(bytes, plain) {
            Ok(count) if count == expected => {}
            _ => return Err(damaged("it doesn't give its blocks")),
        }
        Ok(self.plain.get(..expected).unwrap_or_default().as_chunks().0)
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
