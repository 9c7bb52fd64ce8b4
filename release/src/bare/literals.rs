//! A block's literals. Source: RFC 8878, 3.1.1.3.1.

use super::{BareError, MAX_BLOCK_BYTES, block::Memory, huffman::Codes};

/// How literals are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Raw,
    /// One that is repeated.
    Repeated,
    /// By codes that are described here.
    Coded,
    /// By the codes of the block before.
    CodedAsBefore,
}

/// What the section's header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literals {
    kind: Kind,
    /// Length of the header itself.
    header: usize,
    /// How many literals.
    count: usize,
    /// Bytes behind the header, as stored.
    stored: usize,
    /// Whether there are four streams.
    is_split: bool,
}

/// Bytes of the lengths of the first three of four streams.
const JUMP_TABLE_BYTES: usize = 6;

const CUT: BareError = BareError::Damaged("literals end too early");

impl Literals {
    /// Reads the header: what it says, and how long the section is in a frame.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), BareError> {
        let mut word = [0; 8];
        for (place, byte) in word.iter_mut().zip(bytes.iter().take(5)) {
            *place = *byte;
        }
        let word = u64::from_le_bytes(word);
        let (kind, format) = (word & 3, word >> 2 & 3);
        let literals = if kind < 2 {
            let (header, shift, bits) = [(1, 3, 5), (2, 4, 12), (1, 3, 5), (3, 4, 20)][field(format, 2)];
            let count = field(word >> shift, bits);
            let kind = if kind == 0 { Kind::Raw } else { Kind::Repeated };
            let stored = if kind == Kind::Raw { count } else { 1 };
            Self {
                kind,
                header,
                count,
                stored,
                is_split: false,
            }
        } else {
            let (header, bits) = [(3, 10), (3, 10), (4, 14), (5, 18)][field(format, 2)];
            Self {
                kind: if kind == 2 {
                    Kind::Coded
                } else {
                    Kind::CodedAsBefore
                },
                header,
                count: field(word >> 4, bits),
                stored: field(word >> (4 + bits), bits),
                is_split: format > 0,
            }
        };
        if literals.count > MAX_BLOCK_BYTES || bytes.len() < literals.header {
            return Err(CUT);
        }
        Ok((literals, literals.header + literals.stored))
    }

    /// Appends the section without its entropy coding: header, description of the codes, literals. How many there are.
    pub(super) fn strip(
        &self,
        section: &[u8],
        memory: &mut Memory,
        out: &mut Vec<u8>,
    ) -> Result<usize, BareError> {
        let (header, stored) = section.split_at_checked(self.header).ok_or(CUT)?;
        out.extend_from_slice(header);
        let streams = match self.kind {
            Kind::Raw | Kind::Repeated => {
                out.extend_from_slice(stored);
                return Ok(self.count);
            }
            Kind::Coded => {
                let (codes, used) = Codes::parse(stored)?;
                let (description, streams) = stored.split_at_checked(used).ok_or(CUT)?;
                out.extend_from_slice(description);
                memory.codes = Some(codes);
                streams
            }
            Kind::CodedAsBefore => stored,
        };
        let codes = codes(memory)?;
        if !self.is_split {
            codes.read(streams, self.count, out)?;
            return Ok(self.count);
        }
        let (lengths, mut streams) = streams.split_at_checked(JUMP_TABLE_BYTES).ok_or(CUT)?;
        let mut lengths = lengths.as_chunks().0.iter();
        for count in quarters(self.count) {
            let len = lengths
                .next()
                .map_or(streams.len(), |len| usize::from(u16::from_le_bytes(*len)));
            let (stream, rest) = streams.split_at_checked(len).ok_or(CUT)?;
            codes.read(stream, count, out)?;
            streams = rest;
        }
        Ok(self.count)
    }

    /// Appends the section as it is in a frame, from its bare form at the start of `bare`: the length of that, and how many literals
    /// there are.
    pub(super) fn code(
        &self,
        bare: &[u8],
        memory: &mut Memory,
        out: &mut Vec<u8>,
    ) -> Result<(usize, usize), BareError> {
        let mut used = self.header;
        match self.kind {
            Kind::Raw | Kind::Repeated => used += self.stored,
            Kind::Coded => {
                let (codes, len) = Codes::parse(bare.get(used..).unwrap_or_default())?;
                memory.codes = Some(codes);
                used += len;
            }
            Kind::CodedAsBefore => {}
        }
        let (description, rest) = bare.split_at_checked(used).ok_or(CUT)?;
        out.extend_from_slice(description);
        if matches!(self.kind, Kind::Raw | Kind::Repeated) {
            return Ok((used, self.count));
        }
        let literals = rest.get(..self.count).ok_or(CUT)?;
        let codes = codes(memory)?;
        if self.is_split {
            let mut streams = Vec::new();
            let mut left = literals;
            for (number, count) in quarters(self.count).into_iter().enumerate() {
                let (now, later) = left.split_at_checked(count).ok_or(CUT)?;
                let stream = codes.written(now)?;
                if number < 3 {
                    let len = u16::try_from(stream.len());
                    let len = len.map_err(|_| BareError::Damaged("a stream of literals is too long"))?;
                    out.extend_from_slice(&len.to_le_bytes());
                }
                streams.extend(stream);
                left = later;
            }
            out.extend(streams);
        } else {
            out.extend(codes.written(literals)?);
        }
        Ok((used + self.count, self.count))
    }
}

fn codes(memory: &Memory) -> Result<&Codes, BareError> {
    let codes = memory.codes.as_ref();
    codes.ok_or(BareError::Damaged(
        "literals are coded by codes that there aren't",
    ))
}

/// How many literals each of four streams has.
fn quarters(count: usize) -> [usize; 4] {
    let quarter = count.div_ceil(4);
    [quarter, quarter, quarter, count.saturating_sub(3 * quarter)]
}

/// The lowest bits, as a number: there are at most 20.
fn field(word: u64, bits: u32) -> usize {
    usize::try_from(word & ((1 << bits) - 1)).unwrap_or(0)
}
