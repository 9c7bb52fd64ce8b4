//! The boot payload of a device that can pack its kernel: patched where the kernel is plain, packed on the device.
//!
//! The *expanded* form of a boot payload has the kernel's plain bytes where the payload has its zstd frame. Frames make the new
//! expanded form from the old one (and, behind it, the new root); the [`Recipe`] makes the payload of that.

use std::io;

use super::{
    frame::FrameStreams,
    index::{count, decode_streams, encode_streams, wrong},
    varint,
};
use crate::{
    digest::FileDigest,
    packed::{MAX_PLAIN_BYTES, PackedKernel, PlainLen, Recipe},
    units::Extent,
};

/// Fewest bytes of a frame in the index.
const MIN_FRAME_BYTES: usize = 32 + 5;
/// Longest recipe, in bytes of JSON.
const MAX_RECIPE_BYTES: usize = 1024;
/// Longest boot payload that is made in memory.
const MAX_BOOT_BYTES: u64 = 128 << 20;

/// Bytes of the expanded form that one frame makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackedFrame {
    /// How many.
    pub plain: u32,
    /// The frame's streams.
    pub streams: FrameStreams,
    /// SHA-256 of all its bytes.
    pub sha256: FileDigest,
}

/// How the boot payload is made by packing its kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedBoot {
    /// How the new kernel is packed.
    pub recipe: Recipe,
    /// Where the old boot payload has its kernel.
    pub old: PackedKernel,
    /// Where the new one has it.
    pub new: PackedKernel,
    /// What the new expanded form is made with, in order.
    pub frames: Vec<PackedFrame>,
}

impl PackedBoot {
    /// Bytes of its frames.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let totals = self.frames.iter().filter_map(|frame| frame.streams.total());
        totals.map(u64::from).sum()
    }

    /// Length of the new expanded form.
    #[must_use]
    pub fn expanded_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.plain)).sum()
    }

    /// Memory that it takes in all, in bytes: both expanded forms, packing, a frame and its decoders.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let rest = |kernel: &PackedKernel| kernel.frame.start + u64::from(kernel.plain_len.bytes());
        let forms = rest(&self.old) + rest(&self.new) + self.old.frame.len + self.new.frame.len;
        forms + self.recipe.memory_bytes() + (32 << 20)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        // A map of texts and numbers can't fail to be JSON.
        let recipe = serde_json::to_vec(&self.recipe).unwrap_or_default();
        varint::put(out, recipe.len() as u64);
        out.extend(recipe);
        for kernel in [&self.old, &self.new] {
            varint::put(out, kernel.frame.start);
            varint::put(out, kernel.frame.len);
            varint::put(out, kernel.plain_len.bytes().into());
        }
        encode_frames(&self.frames, out);
    }

    pub(super) fn decode(from: &mut &[u8]) -> io::Result<Self> {
        let len = count(from, 1)?;
        let (recipe, rest) = from
            .split_at_checked(len)
            .filter(|_| len <= MAX_RECIPE_BYTES)
            .ok_or_else(wrong)?;
        *from = rest;
        let recipe = serde_json::from_slice(recipe).map_err(|_| wrong())?;
        let (old, new) = (kernel(from)?, kernel(from)?);
        let frames = decode_frames(from)?;
        Ok(Self {
            recipe,
            old,
            new,
            frames,
        })
    }
}

pub(super) fn encode_frames(frames: &[PackedFrame], out: &mut Vec<u8>) {
    varint::put(out, frames.len() as u64);
    for frame in frames {
        varint::put(out, frame.plain.into());
        encode_streams(out, &frame.streams, &frame.sha256);
    }
}

pub(super) fn decode_frames(from: &mut &[u8]) -> io::Result<Vec<PackedFrame>> {
    let mut frames = Vec::with_capacity(count(from, MIN_FRAME_BYTES)?);
    let mut expanded = 0_u64;
    for _ in 0..frames.capacity() {
        let plain = varint::get_u32(from)?;
        let (streams, sha256) = decode_streams(from)?;
        expanded += u64::from(plain);
        frames.push(PackedFrame {
            plain,
            streams,
            sha256,
        });
    }
    if expanded > MAX_BOOT_BYTES + u64::from(MAX_PLAIN_BYTES) {
        return Err(wrong());
    }
    Ok(frames)
}

/// A place in a boot payload.
pub(super) fn extent(from: &mut &[u8]) -> io::Result<Extent> {
    let extent = Extent {
        start: varint::get(from)?,
        len: varint::get(from)?,
    };
    if extent.start.max(extent.len) > MAX_BOOT_BYTES {
        return Err(wrong());
    }
    Ok(extent)
}

fn kernel(from: &mut &[u8]) -> io::Result<PackedKernel> {
    let frame = extent(from)?;
    let plain_len = PlainLen::new(varint::get_u32(from)?).ok_or_else(wrong)?;
    Ok(PackedKernel { frame, plain_len })
}
