//! The boot payload of a device that can't pack its kernel: patched where the kernel has no entropy coding.
//!
//! The expanded form of a boot payload has the kernel's [bare](crate::bare) form where the payload has its zstd frame. Frames make
//! the new expanded form from the old one; putting the coding back on makes the payload of that.

use std::io;

use super::{
    index::wrong,
    packed::{PackedFrame, decode_frames, encode_frames, extent},
    varint,
};
use crate::{packed::MAX_PLAIN_BYTES, units::Extent};

/// A compressed kernel and its bare form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareKernel {
    /// Where the boot payload has the zstd frame.
    pub frame: Extent,
    /// Length of the bare form.
    pub bare: u32,
}

impl BareKernel {
    /// Length of the expanded form of a payload of `payload` bytes.
    #[must_use]
    pub fn expanded_bytes(&self, payload: u64) -> u64 {
        (payload + u64::from(self.bare)).saturating_sub(self.frame.len)
    }

    /// The byte behind the bare form in the expanded form.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.frame.start + u64::from(self.bare)
    }
}

/// How the boot payload is made by way of the kernel's bare form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareBoot {
    /// The old boot payload's kernel.
    pub old: BareKernel,
    /// The new one's.
    pub new: BareKernel,
    /// What the new expanded form is made with, in order.
    pub frames: Vec<PackedFrame>,
}

impl BareBoot {
    /// Bytes of its frames.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let totals = self.frames.iter().filter_map(|frame| frame.streams.total());
        totals.map(u64::from).sum()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for kernel in [&self.old, &self.new] {
            varint::put(out, kernel.frame.start);
            varint::put(out, kernel.frame.len);
            varint::put(out, kernel.bare.into());
        }
        encode_frames(&self.frames, out);
    }

    pub(super) fn decode(from: &mut &[u8]) -> io::Result<Self> {
        Ok(Self {
            old: kernel(from)?,
            new: kernel(from)?,
            frames: decode_frames(from)?,
        })
    }
}

fn kernel(from: &mut &[u8]) -> io::Result<BareKernel> {
    let frame = extent(from)?;
    let bare = varint::get_u32(from)?;
    if bare > MAX_PLAIN_BYTES {
        return Err(wrong());
    }
    Ok(BareKernel { frame, bare })
}
