//! Ops become frames: three streams, compressed, bounded in what they make and in what they take.

use std::io;

use outcrop_release::{
    delta::{Control, FrameStreams, MAX_FRAME_BYTES, Part, compress},
    digest::FileDigest,
    read_at::ReadAt,
};

use super::ops::{Op, Ops};
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
) -> io::Result<Option<Encoded>> {
    let plain = plain(runs, old, new)?;
    let control = compress(Part::Control, &plain.control)?;
    let difference = compress(Part::Difference, &plain.difference)?;
    let extra = compress(Part::Extra, &plain.extra)?;
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let streams = FrameStreams {
        control: len(&control),
        difference: len(&difference),
        extra: len(&extra),
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

fn plain(runs: &[Run<'_>], old: &(dyn ReadAt + Sync), new: &(dyn ReadAt + Sync)) -> io::Result<Plain> {
    let mut plain = Plain::default();
    let mut steps = Steps::default();
    for run in runs {
        let mut at = run.start;
        for op in run.ops.iter() {
            match op {
                Op::Add { old: from, len } => {
                    steps.add(from, len, &mut plain.control);
                    differences(old, from, new, at, len, &mut plain.difference)?;
                }
                Op::Extra(len) => {
                    steps.extra(len);
                    read_into(new, at, len, &mut plain.extra)?;
                }
            }
            at += op.len();
        }
    }
    steps.end(&mut plain.control);
    Ok(plain)
}

/// Ops as steps: an add, and what is extra behind it.
#[derive(Default)]
struct Steps {
    waiting: Control,
    /// Where the last step's old bytes end.
    at: u64,
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

    fn extra(&mut self, len: u64) {
        self.waiting.copy += len;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.waiting.add + self.waiting.copy > 0 {
            self.waiting.encode(out);
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

const _: () = assert!(MAX_FRAME_BYTES <= 4 << 20, "a device holds it in memory");

#[cfg(test)]
mod tests {
    use outcrop_release::delta::Patcher;

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
        let encoded = encode(&runs, &old, &new).unwrap().unwrap();
        assert!(encoded.bytes.len() < 400, "{}", encoded.bytes.len());
        assert_eq!(FileDigest::of(&encoded.bytes), encoded.sha256);
        let [control, difference, extra] = encoded.streams.decoders(&encoded.bytes).unwrap();
        let mut patcher = Patcher::new(control, difference, extra, old.len() as u64);
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
        assert!(encode(&runs, &Vec::new(), &new).unwrap().is_none());
    }
}
