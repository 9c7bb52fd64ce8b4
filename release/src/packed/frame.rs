//! The header of a zstd frame. Source: RFC 8878, 3.1.1.1.

use crate::field::{take, u32_at};

/// As many bytes hold the header of any frame that [`FrameHeader::parse`] takes.
pub(super) const MAX_FRAME_HEADER_BYTES: usize = 6;

const MAGIC: u32 = 0xfd2f_b528;
/// Bits of the descriptor, the fifth byte. The others must be zero: a content size, a dictionary, a reserved bit.
const CHECKSUM: u8 = 1 << 2;
/// The smallest window, as a power of two.
const LEAST_WINDOW_LOG: u8 = 10;

/// What a frame that was written to a pipe says about itself: no content size, no dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The window's length in bytes, as a power of two.
    pub window_log: u8,
    /// Whether a checksum of the plain bytes ends the frame.
    pub checksum: bool,
}

/// Bytes that aren't the start of such a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The signature is missing: compressed by something else, or not at all.
    #[error("no zstd frame: the signature is missing")]
    Magic,
    /// The frame ends within its header.
    #[error("the zstd frame ends within its header")]
    Truncated,
    /// A content size, a dictionary, or a bit that must be zero.
    #[error(
        "the zstd frame's descriptor is {0:#04x}: only frames without content size and dictionary are repacked"
    )]
    Descriptor(u8),
    /// A window that is no power of two, as zstd itself never makes.
    #[error("the zstd frame's window {0:#04x} is no power of two")]
    Window(u8),
}

impl FrameHeader {
    /// Reads the header at the start of `bytes`; what follows isn't looked at.
    ///
    /// # Errors
    /// When it isn't one of a frame that was made without knowing the length: each case of [`FrameError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        if u32_at(bytes, 0) != Some(MAGIC) {
            return Err(FrameError::Magic);
        }
        let [descriptor, window] = take(bytes, 4).ok_or(FrameError::Truncated)?;
        if descriptor & !CHECKSUM != 0 {
            return Err(FrameError::Descriptor(descriptor));
        }
        // Five bits of exponent, three of mantissa.
        if window & 7 != 0 {
            return Err(FrameError::Window(window));
        }
        Ok(Self {
            window_log: LEAST_WINDOW_LOG + (window >> 3),
            checksum: descriptor & CHECKSUM != 0,
        })
    }
}
