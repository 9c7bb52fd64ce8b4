//! Putting the entropy coding back on.

use super::{
    ALIGN, BareError, BlockHeader, BlockKind, Chunk, LENGTH_BYTES, MAX_CHUNK_BYTES, bare,
    block::{Memory, code},
    decode::{CHECKSUM_BYTES, HEADER_BYTES},
};
use crate::packed::FrameHeader;

/// What the next chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Header,
    Block { has_checksum: bool },
    Checksum,
    Nothing,
}

/// Makes a frame of its bare form. Memory: a chunk and a block.
#[derive(Debug)]
pub struct BareEncoder {
    /// Of the chunk that isn't complete.
    waiting: Vec<u8>,
    next: Next,
    memory: Memory,
}

impl Default for BareEncoder {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            next: Next::Header,
            memory: Memory::default(),
        }
    }
}

impl BareEncoder {
    /// Takes the next bytes of the form, as many as there are, and appends what is complete of the frame to `out`.
    ///
    /// # Errors
    /// When they are no bare form of a frame. Nothing more comes out of it then.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BareError> {
        while !bytes.is_empty() {
            let wanted = self.wanted()?;
            let (now, later) = bytes.split_at(bytes.len().min(wanted - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
            if self.waiting.len() >= ALIGN && self.waiting.len() == self.wanted()? {
                let chunk = std::mem::take(&mut self.waiting);
                self.chunk(chunk.get(LENGTH_BYTES..).unwrap_or_default(), out)?;
                self.waiting = chunk;
                self.waiting.clear();
            }
        }
        Ok(())
    }

    /// Whether the frame is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.next == Next::Nothing && self.waiting.is_empty()
    }

    /// Length of the chunk that is waited for, as far as that is known.
    fn wanted(&self) -> Result<usize, BareError> {
        let Some(len) = self
            .waiting
            .first_chunk::<LENGTH_BYTES>()
            .filter(|_| self.waiting.len() >= ALIGN)
        else {
            return Ok(ALIGN);
        };
        let len = u32::from_le_bytes(*len) as usize;
        if len.is_multiple_of(ALIGN) && (ALIGN..=MAX_CHUNK_BYTES).contains(&len) {
            Ok(len)
        } else {
            Err(BareError::Damaged("a chunk of a length that can't be"))
        }
    }

    fn chunk(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), BareError> {
        let cut = |len: usize| {
            let (content, padding) = content.split_at_checked(len)?;
            (padding.len() < ALIGN && padding.iter().all(|byte| *byte == 0)).then_some(content)
        };
        let damaged = || BareError::Damaged("a chunk isn't as long as what it holds");
        match self.next {
            Next::Header => {
                let header = cut(HEADER_BYTES).ok_or_else(damaged)?;
                let has_checksum = FrameHeader::parse(header)?.checksum;
                out.extend_from_slice(header);
                self.next = Next::Block { has_checksum };
            }
            Next::Block { has_checksum } => {
                let (header, behind) = content.split_first_chunk().ok_or_else(damaged)?;
                let header = BlockHeader::parse(*header)?;
                out.extend_from_slice(&header.bytes);
                match header.kind {
                    BlockKind::Raw | BlockKind::Repeated => {
                        let stored = cut(header.bytes.len() + header.stored);
                        let stored = stored.and_then(|stored| stored.get(header.bytes.len()..));
                        out.extend_from_slice(stored.ok_or_else(damaged)?);
                    }
                    BlockKind::Compressed => code(behind, &mut self.memory, out)?,
                }
                self.next = match (header.is_last, has_checksum) {
                    (false, _) => Next::Block { has_checksum },
                    (true, true) => Next::Checksum,
                    (true, false) => Next::Nothing,
                };
            }
            Next::Checksum => {
                out.extend_from_slice(cut(CHECKSUM_BYTES).ok_or_else(damaged)?);
                self.next = Next::Nothing;
            }
            Next::Nothing => return Err(BareError::Damaged("there are bytes behind its end")),
        }
        Ok(())
    }
}

/// The bare form of a frame, if it makes exactly this frame again: that was tried.
#[must_use]
pub fn prove(frame: &[u8]) -> Option<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let mut encoder = BareEncoder::default();
    let (mut made, mut left) = (Vec::new(), frame);
    let result = bare(frame, |chunk| {
        made.clear();
        encoder.push(&chunk.bytes, &mut made)?;
        left = left
            .strip_prefix(made.as_slice())
            .ok_or(BareError::Damaged("it was coded by other rules than zstd's"))?;
        chunks.push(chunk);
        Ok(())
    });
    (result.is_ok() && left.is_empty() && encoder.is_complete()).then_some(chunks)
}
