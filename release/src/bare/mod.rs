//! The *bare* form of a zstd frame: what the compressor decided, without its entropy coding.
//!
//! A frame is literals and sequences (take so many literals, then repeat so many bytes from so far back), coded by Huffman's and FSE's tables.
//! After that coding two frames of nearly the same content have nothing in common; before it they are nearly the same too. So a patch
//! between bare forms is half as long as the frame, and putting the coding back on takes the memory of one block: nothing is
//! compressed again, no match looked for. The builder proves that a frame comes back byte for byte ([`prove`]). Figures:
//! docs/adr/0016-kernel-repacked-on-the-device.md. Source of zstd's format: RFC 8878.
//!
//! The form is a row of chunks, each a multiple of 8 bytes: its length (4 bytes, itself included, little-endian), content, and zeros up to the next
//! multiple of 8. First the frame's header, then its blocks, at last the checksum if there is one. A block is its header of 3 bytes
//! and its content; a compressed one's content has its literals and sequences uncoded: the headers and tables' descriptions are as in the frame,
//! lengths of streams are left out, and sequences, of 8 bytes each, lie behind the zeros.

mod bits;
mod block;
mod decode;
mod encode;
mod fse;
mod huffman;
mod literals;
mod sequences;
#[cfg(test)]
mod tests;

use std::io;

pub use decode::{Chunk, bare};
pub use encode::{BareEncoder, prove};

/// Most bytes that a block makes. Source: RFC 8878, 3.1.1.2.4.
const MAX_BLOCK_BYTES: usize = 128 << 10;
/// Longest chunk: literals and the shortest matches of a block, and its tables.
pub const MAX_CHUNK_BYTES: usize = 512 << 10;
/// Chunks are as long as a multiple of this.
const ALIGN: usize = 8;
/// Bytes of a chunk's length.
const LENGTH_BYTES: usize = 4;

/// Bytes that are no zstd frame, or no bare form of one.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// They can't be read or written.
    #[error("read or write a zstd frame without its entropy coding")]
    Io(#[from] io::Error),
    /// The header isn't one of a frame as the kernel's build makes it.
    #[error("the zstd frame")]
    Frame(#[from] crate::packed::FrameError),
    /// Something in it is wrong.
    #[error("the zstd frame is damaged: {0}")]
    Damaged(&'static str),
}

/// How a block is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    Raw,
    Repeated,
    Compressed,
}

/// A block's header.
#[derive(Debug, Clone, Copy)]
struct BlockHeader {
    bytes: [u8; 3],
    is_last: bool,
    kind: BlockKind,
    /// Bytes behind it.
    stored: usize,
}

impl BlockHeader {
    fn parse(bytes: [u8; 3]) -> Result<Self, BareError> {
        let [a, b, c] = bytes;
        let word = u32::from_le_bytes([a, b, c, 0]);
        let size = (word >> 3) as usize;
        let (kind, stored) = match word >> 1 & 3 {
            0 => (BlockKind::Raw, size),
            1 => (BlockKind::Repeated, 1),
            2 => (BlockKind::Compressed, size),
            _ => return Err(BareError::Damaged("a block of a kind that there isn't")),
        };
        if size > MAX_BLOCK_BYTES {
            return Err(BareError::Damaged("a block is longer than a block may be"));
        }
        Ok(Self {
            bytes,
            is_last: word & 1 == 1,
            kind,
            stored,
        })
    }
}
