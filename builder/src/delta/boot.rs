//! The boot payload: what of it is worth looking for in the old one, and its form with a plain kernel.

use std::{io, iter::once, ops::Range};

use outcrop_release::{
    delta::{PackedBoot, PackedFrame},
    packed::{self, PackedKernel},
    verity::BLOCK_BYTES,
};
use rayon::prelude::*;

use super::{
    DeltaError,
    frames::{self, Encoded, Run},
    matching::OldText,
    ops::Ops,
    text::{Likeness, Text},
};
use crate::{error::Error, progress::Phase};

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Bytes of the expanded form that a frame makes, unless it gets too long.
const FRAME_BYTES: u64 = 16 << 20;

/// The texts of a boot payload: one for what a compressed kernel fills, which is like nothing but another (and little like that), and
/// one for the rest.
pub(super) fn texts(old: Option<&[u8]>, new: &[u8]) -> Vec<Text> {
    let blocks = u32::try_from(new.len() as u64 / BLOCK).unwrap_or(u32::MAX);
    let all = 0..blocks;
    let Some(old) = old else {
        return vec![Text {
            new: Vec::from_iter(once(all)),
            old: Vec::new(),
            likeness: Likeness::Similar,
        }];
    };
    let kernel = compressed(new).map_or(0..0, |frame| {
        let first = u32::try_from(frame.start.div_ceil(BLOCK)).unwrap_or(0);
        first..u32::try_from(frame.end / BLOCK).unwrap_or(0).max(first)
    });
    let before = compressed(old).unwrap_or(0..0);
    let halves = |middle: Range<u64>, end: u64| {
        let halves = [0..middle.start, middle.end..end];
        halves.into_iter().filter(|range| !range.is_empty())
    };
    vec![
        Text {
            new: vec![kernel.clone()],
            old: vec![before.clone()],
            likeness: Likeness::Packed,
        },
        Text {
            new: [all.start..kernel.start, kernel.end..all.end].into(),
            old: halves(before, old.len() as u64).collect(),
            likeness: Likeness::Similar,
        },
    ]
}

/// Where a boot payload has a compressed kernel, in bytes.
fn compressed(payload: &[u8]) -> Option<Range<u64>> {
    let kernel = PackedKernel::find(payload).ok()?;
    Some(kernel.frame.start..kernel.frame.end())
}

/// What is known of a compressed kernel once it is unpacked.
struct Expanded {
    kernel: PackedKernel,
    bytes: Vec<u8>,
}

impl Expanded {
    /// The expanded form; none when the payload has no kernel that can be unpacked.
    fn of(payload: &[u8]) -> Option<Self> {
        let kernel = PackedKernel::find(payload).ok()?;
        let plain = packed::unpack(frame_of(payload, &kernel)?, kernel.plain_len).ok()?;
        let start = usize::try_from(kernel.frame.start).ok()?;
        let end = usize::try_from(kernel.frame.end()).ok()?;
        let bytes = [payload.get(..start)?, &plain, payload.get(end..)?].concat();
        Some(Self { kernel, bytes })
    }

    /// The plain kernel's place in the expanded form.
    fn plain(&self) -> Range<u64> {
        let start = self.kernel.frame.start;
        start..start + u64::from(self.kernel.plain_len.bytes())
    }
}

fn frame_of<'p>(payload: &'p [u8], kernel: &PackedKernel) -> Option<&'p [u8]> {
    let start = usize::try_from(kernel.frame.start).ok()?;
    payload.get(start..usize::try_from(kernel.frame.end()).ok()?)
}

/// A packed boot payload, and its frames' bytes.
pub(super) type Packed = (PackedBoot, Vec<Vec<u8>>);

/// The packed alternative and its frames' bytes. None when there is no compressed kernel, it can't be packed to the same bytes again,
/// or it is the old one.
pub(super) fn packed(old: &[u8], new: &[u8], phase: &dyn Phase) -> Result<Option<Packed>, Error> {
    let Ok(kernel) = PackedKernel::find(new) else {
        return Ok(None);
    };
    let frame = frame_of(new, &kernel).unwrap_or_default();
    let same = |old_kernel| frame_of(old, &old_kernel) == Some(frame);
    if PackedKernel::find(old).is_ok_and(same) {
        return Ok(None);
    }
    let Ok(Some(recipe)) = packed::prove(frame, kernel.plain_len) else {
        return Ok(None);
    };
    phase.checkpoint()?;
    let (Some(before), Some(after)) = (Expanded::of(old), Expanded::of(new)) else {
        return Ok(None);
    };
    let (frames, data) = encode(&before, &after, phase)?;
    let packed = PackedBoot {
        recipe,
        old: before.kernel,
        new: after.kernel,
        frames,
    };
    Ok(Some((packed, data)))
}

/// Frames of the new expanded form: the kernel from the old kernel, the rest from the old rest.
fn encode(
    before: &Expanded,
    after: &Expanded,
    phase: &dyn Phase,
) -> Result<(Vec<PackedFrame>, Vec<Vec<u8>>), Error> {
    let mut ops = matched(before, after);
    phase.checkpoint()?;
    let total = after.bytes.len() as u64;
    let mut parts = Vec::new();
    let mut at = 0;
    while at < total {
        let len = FRAME_BYTES.min(total - at);
        parts.push((at, len, ops.take(len)));
        at += len;
    }
    let made: Result<Vec<_>, io::Error> = parts
        .par_iter()
        .map(|(at, len, ops)| encode_part(*at, *len, ops, before, after))
        .collect();
    let made = made.map_err(|source| DeltaError::Payload { source })?;
    Ok(made.into_iter().flatten().unzip())
}

fn encode_part(
    at: u64,
    len: u64,
    ops: &Ops,
    before: &Expanded,
    after: &Expanded,
) -> io::Result<Vec<(PackedFrame, Vec<u8>)>> {
    let runs = [Run { start: at, ops }];
    if let Some(Encoded {
        streams,
        sha256,
        bytes,
    }) = frames::encode(&runs, &before.bytes, &after.bytes)?
    {
        let plain = u32::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let frame = PackedFrame {
            plain,
            streams,
            sha256,
        };
        return Ok(vec![(frame, bytes)]);
    }
    let (mut second, half) = (ops.clone(), len / 2);
    let first = second.take(half);
    let mut frames = encode_part(at, half, &first, before, after)?;
    frames.extend(encode_part(at + half, len - half, &second, before, after)?);
    Ok(frames)
}

fn matched(before: &Expanded, after: &Expanded) -> Ops {
    let (old, new) = (before.plain(), after.plain());
    let slice = |form: &Expanded, range: Range<u64>| {
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX);
        form.bytes.get(start..end).unwrap_or_default().to_vec()
    };
    let mut kernel = OldText::default();
    kernel.push(old.start, &slice(before, old.clone()));
    let mut rest = OldText::default();
    rest.push(0, &slice(before, 0..old.start));
    rest.push(old.end, &slice(before, old.end..before.bytes.len() as u64));
    let around = [
        slice(after, 0..new.start),
        slice(after, new.end..after.bytes.len() as u64),
    ]
    .concat();
    let (kernel, mut rest) = rayon::join(|| kernel.ops(&slice(after, new.clone())), || rest.ops(&around));
    let mut ops = rest.take(new.start);
    kernel.iter().chain(rest.iter()).for_each(|op| ops.push(op));
    ops
}
