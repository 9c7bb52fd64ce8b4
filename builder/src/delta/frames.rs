//! Ops become frames: three streams, compressed, bounded in what they make and in what they take.

use std::io::{self, Write as _};

use outcrop_release::{
    delta::{Code, Control, Effort, FrameStreams, Part, compress},
    digest::FileDigest,
    read_at::ReadAt,
};

use liblzma::{
    stream::{Filters, LzmaOptions, Stream},
    write::XzEncoder,
};

use super::{
    code::CodeRanges,
    ops::{Op, Ops},
};
use crate::sha256::Sha256;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// A frame with its bytes.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    pub(super) streams: FrameStreams,
    pub(super) sha256: FileDigest,
    pub(super) bytes: Vec<u8>,
}

/// The three streams of a frame before they are compressed.
#[derive(Default)]
struct Plain {
    control: Vec<u8>,
    difference: Vec<u8>,
    extra: Vec<u8>,
    /// What code is in it.
    code: Code,
}

/// New bytes that ops make, from their start on.
pub(super) struct Run<'o> {
    /// First byte in the new payload.
    pub(super) start: u64,
    /// What makes them.
    pub(super) ops: &'o Ops,
}

/// Encodes runs, in order; none when the frame would be longer than a device takes.
///
/// # Errors
/// When the payloads can't be read, or there is no memory.
pub(super) fn encode(
    runs: &[Run<'_>],
    old: &(dyn ReadAt + Sync),
    new: &(dyn ReadAt + Sync),
    code: &CodeRanges,
    effort: Effort,
) -> io::Result<Option<Encoded>> {
    let plain = plain(runs, old, new, code)?;
    let control = compress(Part::Control, effort, &plain.control)?;
    let difference = compress(Part::Difference, effort, &plain.difference)?;
    let extra = compress(Part::Extra, effort, &plain.extra)?;
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let streams = FrameStreams {
        control: len(&control),
        difference: len(&difference),
        extra: len(&extra),
        code: plain.code,
    };
    if streams.total().is_none() {
        return Ok(None);
    }
    let bytes = [control, difference, extra].concat();
    let mut hash = Sha256::new();
    hash.update(&bytes);
    Ok(Some(Encoded {
        streams,
        sha256: FileDigest::from_bytes(hash.finish()),
        bytes,
    }))
}

/// About as many bytes as runs take in a frame, by a faster compressor than a frame's.
///
/// # Errors
/// As [`encode`].
pub(super) fn estimate(
    runs: &[Run<'_>],
    old: &(dyn ReadAt + Sync),
    new: &(dyn ReadAt + Sync),
    code: &CodeRanges,
) -> io::Result<usize> {
    const PRESET: u32 = 1;
    let plain = plain(runs, old, new, code)?;
    let mut bytes = 0;
    for stream in [plain.control, plain.difference, plain.extra] {
        let mut filters = Filters::new();
        filters.lzma2(&LzmaOptions::new_preset(PRESET)?);
        let mut encoder = XzEncoder::new_stream(Vec::new(), Stream::new_raw_encoder(&filters)?);
        encoder.write_all(&stream)?;
        bytes += encoder.finish()?.len();
    }
    Ok(bytes)
}

fn plain(
    runs: &[Run<'_>],
    old: &(dyn ReadAt + Sync),
    new: &(dyn ReadAt + Sync),
    code: &CodeRanges,
) -> io::Result<Plain> {
    let mut plain = Plain {
        code: frame_code(runs, code),
        ..Plain::default()
    };
    let mut steps = Steps {
        code: plain.code,
        ..Steps::default()
    };
    let mut made = 0;
    for run in runs {
        let mut at = run.start;
        for op in run.ops.iter() {
            match op {
                Op::Add { old: from, len } => {
                    steps.add(from, len, &mut plain.control);
                    differences(old, from, new, at, len, &mut plain.difference)?;
                    made += len;
                    at += len;
                }
                Op::Extra(len) => {
                    for (len, is_code) in code.cut(at, len) {
                        let start = plain.extra.len();
                        steps.extra(len, is_code, &mut plain.control);
                        read_into(new, at, len, &mut plain.extra)?;
                        if is_code {
                            let run = plain.extra.get_mut(start..).unwrap_or_default();
                            plain.code.encode(made, run);
                        }
                        made += len;
                        at += len;
                    }
                }
            }
        }
    }
    steps.end(&mut plain.control);
    Ok(plain)
}

/// What code is among the extra bytes of a frame.
fn frame_code(runs: &[Run<'_>], code: &CodeRanges) -> Code {
    let has_some = |run: &Run<'_>| {
        let mut at = run.start;
        run.ops.iter().any(|op| {
            let start = at;
            at += op.len();
            matches!(op, Op::Extra(len) if code.cut(start, len).iter().any(|(_, is_code)| *is_code))
        })
    };
    if runs.iter().any(has_some) {
        code.code()
    } else {
        Code::None
    }
}

/// Ops as steps: an add, and what is extra behind it.
#[derive(Default)]
struct Steps {
    waiting: Control,
    /// Where the last step's old bytes end.
    at: u64,
    /// What code the frame has.
    code: Code,
}

impl Steps {
    fn add(&mut self, old: u64, len: u64, out: &mut Vec<u8>) {
        let joins = self.waiting.copy == 0 && self.waiting.add > 0 && self.at == old;
        if !joins {
            self.end(out);
            // Payloads are far below 2^63 bytes.
            self.waiting.seek = old.cast_signed() - self.at.cast_signed();
        }
        self.waiting.add += len;
        self.at = old + len;
    }

    fn extra(&mut self, len: u64, is_code: bool, out: &mut Vec<u8>) {
        // The turning of code begins anew with each run.
        if self.waiting.copy > 0 && (is_code || self.waiting.is_code) {
            self.end(out);
        }
        self.waiting.copy += len;
        self.waiting.is_code = is_code;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.waiting.add + self.waiting.copy > 0 {
            self.waiting.encode(self.code, out);
        }
        self.waiting = Control::default();
    }
}

fn differences(
    old: &(dyn ReadAt + Sync),
    from: u64,
    new: &(dyn ReadAt + Sync),
    at: u64,
    len: u64,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut done = 0;
    while done < len {
        let count = piece(len - done);
        before.resize(count, 0);
        after.resize(count, 0);
        old.read_exact_at(&mut before, from + done)?;
        new.read_exact_at(&mut after, at + done)?;
        out.extend(after.iter().zip(&before).map(|(new, old)| new.wrapping_sub(*old)));
        done += count as u64;
    }
    Ok(())
}

fn read_into(new: &(dyn ReadAt + Sync), at: u64, len: u64, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
    out.resize(start + len, 0);
    new.read_exact_at(out.get_mut(start..).unwrap_or_default(), at)
}

fn piece(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
}

#[cfg(test)]
mod tests {
    use outcrop_release::delta::{MAX_FRAME_BYTES, Patcher};

    use super::*;
    use crate::delta::matching::OldText;

    #[test]
    fn frames_make_the_new_bytes_again() {
        let old: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut new = old[8000..].to_vec();
        new.splice(500..500, *b"something new");
        new[100_000] ^= 1;
        let mut text = OldText::default();
        text.push(0, &old);
        let mut ops = text.ops(&new);
        let first = ops.take(70_001);
        let runs = [
            Run {
                start: 0,
                ops: &first,
            },
            Run {
                start: 70_001,
                ops: &ops,
            },
        ];
        let encoded = encode(&runs, &old, &new, &CodeRanges::default(), Effort::Thorough)
            .unwrap()
            .unwrap();
        assert!(encoded.bytes.len() < 400, "{}", encoded.bytes.len());
        assert_eq!(FileDigest::of(&encoded.bytes), encoded.sha256);
        let streams = encoded.streams.decoders(&encoded.bytes).unwrap();
        let mut patcher = Patcher::new(streams, Code::None, old.len() as u64);
        let mut found = vec![0; new.len()];
        patcher.fill(&mut old.as_slice(), &mut found).unwrap();
        assert!(found == new);
    }

    #[test]
    fn a_frame_that_a_device_would_not_take_is_none() {
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        };
        let new: Vec<u8> = (0..(MAX_FRAME_BYTES as usize + (64 << 10)))
            .map(|_| noise())
            .collect();
        let mut ops = Ops::default();
        ops.push(Op::Extra(new.len() as u64));
        let runs = [Run { start: 0, ops: &ops }];
        assert!(
            encode(&runs, &Vec::new(), &new, &CodeRanges::default(), Effort::Thorough)
                .unwrap()
                .is_none()
        );
    }
}
