//! Taking the entropy coding off.

use std::io::Read;

use super::{
    ALIGN, BareError, BlockHeader, BlockKind, LENGTH_BYTES, MAX_CHUNK_BYTES,
    block::{Bare, Memory, strip},
};
use crate::packed::FrameHeader;

/// Bytes of a frame's header.
pub(super) const HEADER_BYTES: usize = 6;
/// Bytes of a frame's checksum.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// A chunk of the bare form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where its sequences begin, of eight bytes each: they fill the rest.
    pub sequences: usize,
}

impl Chunk {
    fn new(content: &[u8], sequences: &[u8]) -> Result<Self, BareError> {
        let start = (LENGTH_BYTES + content.len()).next_multiple_of(ALIGN);
        let len = start + sequences.len();
        if len > MAX_CHUNK_BYTES {
            return Err(BareError::Damaged("a block is longer than a block may be"));
        }
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let mut bytes = [&len.to_le_bytes(), content].concat();
        bytes.resize(start, 0);
        bytes.extend_from_slice(sequences);
        Ok(Self {
            bytes,
            sequences: start,
        })
    }
}

/// Reads a frame, all that `frame` gives, and hands over its bare form, chunk by chunk. Memory: two blocks.
///
/// # Errors
/// When it is no frame, or damaged; and whatever `take` fails with.
pub fn bare(
    mut frame: impl Read,
    mut take: impl FnMut(Chunk) -> Result<(), BareError>,
) -> Result<(), BareError> {
    let mut header = [0; HEADER_BYTES];
    frame.read_exact(&mut header)?;
    let has_checksum = FrameHeader::parse(&header)?.checksum;
    take(Chunk::new(&header, &[])?)?;
    let mut memory = Memory::default();
    loop {
        let mut bytes = [0; 3];
        frame.read_exact(&mut bytes)?;
        let header = BlockHeader::parse(bytes)?;
        let mut content = vec![0; header.stored];
        frame.read_exact(&mut content)?;
        let stripped = match header.kind {
            BlockKind::Raw | BlockKind::Repeated => Bare {
                head: content,
                sequences: Vec::new(),
            },
            BlockKind::Compressed => strip(&content, &mut memory)?,
        };
        let head = [&header.bytes, stripped.head.as_slice()].concat();
        take(Chunk::new(&head, &stripped.sequences)?)?;
        if header.is_last {
            break;
        }
    }
    if has_checksum {
        let mut checksum = [0; CHECKSUM_BYTES];
        frame.read_exact(&mut checksum)?;
        take(Chunk::new(&checksum, &[])?)?;
    }
    if frame.read(&mut [0])? > 0 {
        return Err(BareError::Damaged("there are bytes behind its end"));
    }
    Ok(())
}
