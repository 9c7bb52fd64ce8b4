//! The boot payload: what of it is worth looking for in the old one, and its form with a plain kernel.

use std::{io, iter::once, ops::Range};

use outcrop_release::{
    bare::{self, Chunk},
    delta::{BareBoot, BareKernel, Effort, PackedBoot, PackedFrame},
    packed::{self, PackedKernel},
    units::Extent,
    verity::BLOCK_BYTES,
};
use rayon::prelude::*;

use super::{
    DeltaError, anchors,
    code::CodeRanges,
    frames::{self, Encoded, Run},
    matching::OldText,
    ops::{Op, Ops},
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

/// A boot payload with something else in the place of its compressed kernel.
struct Expanded {
    /// The zstd frame in the payload.
    frame: Extent,
    /// What stands in its place, in this form.
    kernel: Range<u64>,
    bytes: Vec<u8>,
}

impl Expanded {
    /// None when the payload has no frame there.
    fn new(payload: &[u8], frame: Extent, kernel: &[u8]) -> Option<Self> {
        let start = usize::try_from(frame.start).ok()?;
        let end = usize::try_from(frame.end()).ok()?;
        let bytes = [payload.get(..start)?, kernel, payload.get(end..)?].concat();
        Some(Self {
            frame,
            kernel: frame.start..frame.start + kernel.len() as u64,
            bytes,
        })
    }

    /// With the plain kernel.
    fn plain(payload: &[u8], kernel: &PackedKernel) -> Option<Self> {
        let plain = packed::unpack(frame_of(payload, kernel)?, kernel.plain_len).ok()?;
        Self::new(payload, kernel.frame, &plain)
    }

    fn slice(&self, range: Range<u64>) -> &[u8] {
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX);
        self.bytes.get(start..end).unwrap_or_default()
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn frame_of<'p>(payload: &'p [u8], kernel: &PackedKernel) -> Option<&'p [u8]> {
    let start = usize::try_from(kernel.frame.start).ok()?;
    payload.get(start..usize::try_from(kernel.frame.end()).ok()?)
}

/// An alternative way to make the boot payload, and its frames' bytes.
pub(super) type Way<B> = (B, Vec<Vec<u8>>);

/// The ways to make a boot payload whose kernel is compressed.
#[derive(Default)]
pub(super) struct Ways {
    /// With the plain kernel, which the device packs. None when that doesn't give the same bytes.
    pub(super) packed: Option<Way<PackedBoot>>,
    /// With the kernel's bare form. None when the coding that is put back on isn't the same.
    pub(super) bare: Option<Way<BareBoot>>,
}

/// What can be done with a pair of boot payloads; nothing where there is no compressed kernel, or it is the old one.
pub(super) fn ways(old: &[u8], new: &[u8], phase: &dyn Phase) -> Result<Ways, Error> {
    let (Ok(before), Ok(after)) = (PackedKernel::find(old), PackedKernel::find(new)) else {
        return Ok(Ways::default());
    };
    if frame_of(old, &before) == frame_of(new, &after) {
        return Ok(Ways::default());
    }
    let rest = rest(old, new, &before, &after);
    phase.checkpoint()?;
    // Packing takes most of the memory, so it comes before anything else lies there.
    let packed = packed_way((old, &before), (new, &after), &rest, phase)?;
    let bare = bare_way((old, &before), (new, &after), &rest, phase)?;
    Ok(Ways { packed, bare })
}

/// Ops of what is around the kernel, over payloads without it.
fn rest(old: &[u8], new: &[u8], before: &PackedKernel, after: &PackedKernel) -> Ops {
    let (Some(old), Some(new)) = (
        Expanded::new(old, before.frame, &[]),
        Expanded::new(new, after.frame, &[]),
    ) else {
        return Ops::default();
    };
    let mut text = OldText::default();
    text.push(0, &old.bytes);
    text.ops(&new.bytes)
}

fn packed_way(
    (old, old_kernel): (&[u8], &PackedKernel),
    (new, new_kernel): (&[u8], &PackedKernel),
    rest: &Ops,
    phase: &dyn Phase,
) -> Result<Option<Way<PackedBoot>>, Error> {
    let frame = frame_of(new, new_kernel).unwrap_or_default();
    let Ok(Some(recipe)) = packed::prove(frame, new_kernel.plain_len) else {
        return Ok(None);
    };
    phase.checkpoint()?;
    let (Some(before), Some(after)) = (Expanded::plain(old, old_kernel), Expanded::plain(new, new_kernel))
    else {
        return Ok(None);
    };
    let mut text = OldText::default();
    text.push(before.kernel.start, before.slice(before.kernel.clone()));
    let kernel = text.anchored(after.slice(after.kernel.clone()), anchors::Likeness::Alike);
    drop(text);
    let (frames, data) = encode(&before, &after, &kernel, rest, phase)?;
    let packed = PackedBoot {
        recipe,
        old: *old_kernel,
        new: *new_kernel,
        frames,
    };
    Ok(Some((packed, data)))
}

fn bare_way(
    (old, old_kernel): (&[u8], &PackedKernel),
    (new, new_kernel): (&[u8], &PackedKernel),
    rest: &Ops,
    phase: &dyn Phase,
) -> Result<Option<Way<BareBoot>>, Error> {
    let prove = |payload: &[u8], kernel: &PackedKernel| bare::prove(frame_of(payload, kernel)?);
    let (old_chunks, new_chunks) = rayon::join(|| prove(old, old_kernel), || prove(new, new_kernel));
    let (Some(old_chunks), Some(new_chunks)) = (old_chunks, new_chunks) else {
        return Ok(None);
    };
    phase.checkpoint()?;
    let kernel = bare_ops(old_kernel.frame.start, &old_chunks, &new_chunks);
    phase.checkpoint()?;
    let form = |payload: &[u8], kernel: &PackedKernel, chunks: &[Chunk]| {
        let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.bytes.as_slice()).collect();
        Expanded::new(payload, kernel.frame, &chunks.concat())
    };
    let before = form(old, old_kernel, &old_chunks);
    let after = form(new, new_kernel, &new_chunks);
    drop((old_chunks, new_chunks));
    let (Some(before), Some(after)) = (before, after) else {
        return Ok(None);
    };
    let (frames, data) = encode(&before, &after, &kernel, rest, phase)?;
    let kernel = |form: &Expanded| {
        Some(BareKernel {
            frame: form.frame,
            bare: u32::try_from(form.kernel.end - form.kernel.start).ok()?,
        })
    };
    let kernels = kernel(&before).zip(kernel(&after));
    Ok(kernels.map(|(old, new)| (BareBoot { old, new, frames }, data)))
}

/// Ops of a bare form that begins at `start` in the old expanded form: literals from literals, sequences from sequences.
fn bare_ops(start: u64, old: &[Chunk], new: &[Chunk]) -> Ops {
    let (mut heads, mut sequences) = (OldText::default(), OldText::default());
    let mut at = start;
    for chunk in old {
        let (head, records) = chunk.bytes.split_at(chunk.sequences);
        heads.push(at, head);
        sequences.push(at + head.len() as u64, records);
        at += chunk.bytes.len() as u64;
    }
    let part = |cut: fn(&Chunk) -> &[u8]| -> Vec<u8> { new.iter().flat_map(cut).copied().collect() };
    let new_heads = part(|chunk| chunk.bytes.get(..chunk.sequences).unwrap_or_default());
    let new_sequences = part(|chunk| chunk.bytes.get(chunk.sequences..).unwrap_or_default());
    let (mut head_ops, mut sequence_ops) =
        rayon::join(|| heads.ops(&new_heads), || sequences.records(&new_sequences));
    let mut ops = Ops::default();
    for chunk in new {
        let head = head_ops.take(chunk.sequences as u64);
        let records = sequence_ops.take((chunk.bytes.len() - chunk.sequences) as u64);
        head.iter().chain(records.iter()).for_each(|op| ops.push(op));
    }
    ops
}

/// Frames of the new expanded form: the kernel from the old kernel, the rest from the old rest.
fn encode(
    before: &Expanded,
    after: &Expanded,
    kernel: &Ops,
    rest: &Ops,
    phase: &dyn Phase,
) -> Result<(Vec<PackedFrame>, Vec<Vec<u8>>), Error> {
    let mut ops = around(before, after, kernel, rest.clone());
    phase.checkpoint()?;
    let total = after.len();
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

/// The ops of the rest with the kernel's between: where the rest lies behind the old kernel, it lies further behind in the expanded form.
fn around(before: &Expanded, after: &Expanded, kernel: &Ops, mut rest: Ops) -> Ops {
    let border = before.kernel.start;
    let inner = before.kernel.end - border;
    let mut ops = Ops::default();
    let push = |ops: &mut Ops, op: Op| match op {
        Op::Add { old, len } if old < border && old + len > border => {
            let first = border - old;
            ops.push(Op::Add { old, len: first });
            ops.push(Op::Add {
                old: border + inner,
                len: len - first,
            });
        }
        Op::Add { old, len } if old >= border => ops.push(Op::Add {
            old: old + inner,
            len,
        }),
        other => ops.push(other),
    };
    for op in rest.take(after.kernel.start).iter() {
        push(&mut ops, op);
    }
    kernel.iter().for_each(|op| ops.push(op));
    for op in rest.iter() {
        push(&mut ops, op);
    }
    ops
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
    }) = frames::encode(
        &runs,
        &before.bytes,
        &after.bytes,
        &CodeRanges::default(),
        Effort::Quick,
    )? {
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
