//! Where a payload has machine code: the executable segments of its programs and libraries.
//!
//! Objects that are linked later, as kernel modules, have no segments, and no distances either. Source for the format: System V ABI, "ELF Header" and
//! "Program Header".

use std::{io, ops::Range};

use outcrop_release::{delta::Code, verity::BLOCK_BYTES};

use super::text::Text;
use crate::read_at::ReadAt;

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Shorter pieces aren't worth a step of their own.
const LEAST_BYTES: u64 = 64;
/// 64 bits, little-endian.
const IDENT: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
const X86_64: u16 = 62;
const AARCH64: u16 = 183;
/// A segment that is loaded.
const LOAD: u32 = 1;
const EXECUTABLE: u32 = 1;
/// Programs have about a dozen segments.
const MAX_SEGMENTS: u16 = 64;

/// The code of a payload, all of one architecture.
#[derive(Debug, Default)]
pub(super) struct CodeRanges {
    code: Code,
    /// Bytes of the payload: ascending, none in another.
    ranges: Vec<Range<u64>>,
}

impl CodeRanges {
    /// What code it is.
    pub(super) const fn code(&self) -> Code {
        self.code
    }

    /// New bytes in pieces of which each is code or none is.
    pub(super) fn cut(&self, at: u64, len: u64) -> Vec<(u64, bool)> {
        let (mut pieces, mut at, end) = (Vec::new(), at, at + len);
        let first = self.ranges.partition_point(|range| range.end <= at);
        for range in self
            .ranges
            .iter()
            .skip(first)
            .take_while(|range| range.start < end)
        {
            let (start, until) = (range.start.max(at), range.end.min(end));
            if until - start < LEAST_BYTES {
                continue;
            }
            if start > at {
                pieces.push((start - at, false));
            }
            pieces.push((until - start, true));
            at = until;
        }
        if end > at {
            pieces.push((end - at, false));
        }
        pieces
    }
}

/// The code of files whose blocks are a text each.
pub(super) fn of_texts(texts: &[Text], payload: &(impl ReadAt + ?Sized)) -> io::Result<CodeRanges> {
    let mut found = CodeRanges::default();
    for text in texts {
        let [blocks] = text.new.as_slice() else { continue };
        let file = u64::from(blocks.start) * BLOCK..(u64::from(blocks.end) * BLOCK).min(payload.len());
        let (code, segments) = segments(payload, &file)?;
        if found.code == Code::None {
            found.code = code;
        }
        if code == found.code {
            found.ranges.extend(segments);
        }
    }
    found.ranges.sort_by_key(|range| range.start);
    let mut end = 0;
    found.ranges.retain(|range| {
        let is_alone = range.start >= end;
        end = end.max(range.end);
        is_alone
    });
    Ok(found)
}

/// The executable segments of a file; none when it is no program that has some.
fn segments(payload: &(impl ReadAt + ?Sized), file: &Range<u64>) -> io::Result<(Code, Vec<Range<u64>>)> {
    let none = (Code::None, Vec::new());
    let len = usize::try_from((file.end.saturating_sub(file.start)).min(BLOCK)).unwrap_or(0);
    let head = payload.read_vec(file.start, len)?;
    if !head.starts_with(&IDENT) {
        return Ok(none);
    }
    let code = match half(&head, 18) {
        Some(X86_64) => Code::X86,
        Some(AARCH64) => Code::Arm64,
        _ => return Ok(none),
    };
    let (Some(table), Some(size), Some(count)) = (double(&head, 32), half(&head, 54), half(&head, 56)) else {
        return Ok(none);
    };
    let segment = |number: u16| {
        let at = usize::try_from(table)
            .ok()?
            .checked_add(usize::from(size) * usize::from(number))?;
        let header = head.get(at..)?;
        let is_code = word(header, 0)? == LOAD && word(header, 4)? & EXECUTABLE != 0;
        let start = file.start.checked_add(double(header, 8)?)?;
        let end = start.checked_add(double(header, 32)?)?;
        (is_code && end <= file.end && start < end).then_some(start..end)
    };
    Ok((code, (0..count.min(MAX_SEGMENTS)).filter_map(segment).collect()))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn double(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::text::Likeness;

    /// A program of two blocks with one executable segment.
    fn program(machine: u16, offset: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; 2 * BLOCK_BYTES];
        bytes[..6].copy_from_slice(&IDENT);
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&2_u16.to_le_bytes());
        // The first segment is loaded, but not executable.
        bytes[64..68].copy_from_slice(&LOAD.to_le_bytes());
        bytes[64 + 32..64 + 40].copy_from_slice(&100_u64.to_le_bytes());
        let second = 64 + 56;
        bytes[second..second + 4].copy_from_slice(&LOAD.to_le_bytes());
        bytes[second + 4..second + 8].copy_from_slice(&5_u32.to_le_bytes());
        bytes[second + 8..second + 16].copy_from_slice(&offset.to_le_bytes());
        bytes[second + 32..second + 40].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    fn ranges(payload: &[u8]) -> CodeRanges {
        let texts: Vec<Text> = (0..u32::try_from(payload.len() / BLOCK_BYTES).unwrap())
            .step_by(2)
            .map(|first| Text {
                new: Vec::from_iter(std::iter::once(first..first + 2)),
                old: Vec::new(),
                likeness: Likeness::Similar,
            })
            .collect();
        of_texts(&texts, payload).unwrap()
    }

    #[test]
    fn code_is_what_programs_of_one_architecture_have_in_executable_segments() {
        let payload = [
            program(X86_64, 4096, 200),
            vec![1; 2 * BLOCK_BYTES],
            program(AARCH64, 4096, 200),
            program(X86_64, 5000, 300),
        ]
        .concat();
        let found = ranges(&payload);
        assert_eq!(found.code(), Code::X86);
        assert_eq!(found.ranges, [4096..4296, 6 * BLOCK + 5000..6 * BLOCK + 5300]);
        assert_eq!(found.cut(0, 4000), [(4000, false)]);
        assert_eq!(found.cut(4000, 400), [(96, false), (200, true), (104, false)]);
        assert_eq!(found.cut(4100, 100), [(100, true)]);
        assert_eq!(found.cut(4290, 100), [(100, false)]);
        assert_eq!(found.cut(4100, 0), []);
    }

    #[test]
    fn segments_that_lie_outside_of_their_file_are_none() {
        for (offset, len) in [(4096, 4097), (u64::MAX, 2), (8192, 1), (4096, u64::MAX)] {
            assert_eq!(ranges(&program(X86_64, offset, len)).ranges, []);
        }
    }
}
