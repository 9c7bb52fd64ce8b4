//! Unpacking a frame.

use std::io;

use serde::{Deserialize, Serialize};
use zstd::{bulk::Decompressor, zstd_safe};

use super::MAX_PLAIN_BYTES;

/// Length of what a frame holds, in bytes: from 1 to [`MAX_PLAIN_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PlainLen(u32);

impl PlainLen {
    /// Takes a length in bytes, if it is one that is unpacked.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes == 0 || bytes > MAX_PLAIN_BYTES {
            None
        } else {
            Some(Self(bytes))
        }
    }

    /// The length in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// The length as one in memory.
    pub(super) const fn in_memory(self) -> usize {
        // At most 27 bits: it fits wherever Rust's standard library does.
        self.0 as usize
    }
}

/// A frame can't be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is cut off, or no frame at all.
    #[error("the compressed bytes are no whole zstd frame")]
    Frame,
    /// Bytes follow the frame, which repacking couldn't make.
    #[error("behind the zstd frame of {frame} bytes follow {more} more")]
    Trailing {
        /// Length of the frame.
        frame: usize,
        /// What follows.
        more: usize,
    },
    /// It is damaged, or longer than it should be when unpacked.
    #[error("unpack a zstd frame of at most {max} bytes")]
    Zstd {
        /// Length that it should have.
        max: u32,
        /// The cause.
        source: io::Error,
    },
    /// Shorter than it should be.
    #[error("the zstd frame holds {found} bytes instead of {expected}")]
    Length {
        /// Length of what it holds.
        found: usize,
        /// Length that it should have.
        expected: u32,
    },
}

/// What `frame` holds. It must be one whole frame with exactly `len` bytes in it.
///
/// Into memory at once: the frame's window is the result itself, so that beside the two nothing but some 150 KiB is needed. (A stream
/// would allocate the kernel's window of 128 MiB.)
///
/// # Errors
/// When it is anything else; its checksum, if it has one, is checked. Each case of [`UnpackError`].
pub fn unpack(frame: &[u8], len: PlainLen) -> Result<Vec<u8>, UnpackError> {
    let whole = zstd_safe::find_frame_compressed_size(frame).map_err(|_| UnpackError::Frame)?;
    if whole != frame.len() {
        let more = frame.len().saturating_sub(whole);
        return Err(UnpackError::Trailing { frame: whole, more });
    }
    let max = len.bytes();
    let mut decompressor = Decompressor::new().map_err(|source| UnpackError::Zstd { max, source })?;
    let plain = decompressor
        .decompress(frame, len.in_memory())
        .map_err(|source| UnpackError::Zstd { max, source })?;
    if plain.len() == len.in_memory() {
        Ok(plain)
    } else {
        Err(UnpackError::Length {
            found: plain.len(),
            expected: max,
        })
    }
}
