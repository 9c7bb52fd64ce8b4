//! The delta of one payload: spans, and frames for what is in no span of the old one.

use std::{io, ops::Range};

use outcrop_release::{
    delta::{Effort, GROUP_BLOCKS, PatchFrame, PayloadDelta, Span, SpanSource, Spans},
    verity::{BLOCK_BYTES, HashTree},
};
use rayon::prelude::*;

use super::{
    anchors,
    code::CodeRanges,
    frames::{self, Encoded, Run},
    matching::OldText,
    ops::Ops,
    spans,
    text::{Likeness, Text},
};
use crate::{error::Error, progress::Phase, read_at::ReadAt};

const BLOCK: u64 = BLOCK_BYTES as u64;
/// New bytes that a frame makes, as long as it doesn't get too long: more is compressed better, less is fetched again after a power cut.
const FRAME_BYTES: u64 = 20 << 20;

/// A text of which as much is the same is patched. Of others it is tried whether its new bytes alone take less.
const ALIKE_PERCENT: u64 = 90;

/// A payload and its tree.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) bytes: &'a (dyn ReadAt + Sync),
    pub(super) tree: &'a HashTree,
}

/// Blocks that are patched, all of one text, and what they are made of.
struct Patched {
    span: Range<u32>,
    ops: Ops,
}

/// A frame and its bytes.
type Framed = (PatchFrame, Vec<u8>);

/// A payload's delta, and its frames' bytes.
pub(super) struct Made {
    pub(super) delta: PayloadDelta,
    pub(super) data: Vec<Vec<u8>>,
}

/// Makes the delta of a payload whose `texts` are known.
pub(super) fn make(
    old: Option<Side<'_>>,
    new: Side<'_>,
    texts: &[Text],
    code: &CodeRanges,
    phase: &dyn Phase,
) -> Result<Made, Error> {
    let old_leaves = old.map_or(&[][..], |old| old.tree.leaves());
    let spans = spans::spans(old_leaves, new.tree.leaves());
    let nothing: &(dyn ReadAt + Sync) = &Vec::new();
    let old_bytes = old.map_or(nothing, |old| old.bytes);
    let mut patched = matched(&spans, texts, (old_bytes, new.bytes, code), phase)?;
    let frames = cut(&spans, &mut patched);
    let encoded: io::Result<Vec<Vec<Framed>>> = frames
        .par_iter()
        .map(|frame| {
            if phase.checkpoint().is_err() {
                return Ok(Vec::new()); // said below, by the thread that asks
            }
            encode(frame, old_bytes, new.bytes, code)
        })
        .collect();
    phase.checkpoint()?;
    let (frames, data) = encoded.map_err(unreadable)?.into_iter().flatten().unzip();
    Ok(Made {
        delta: PayloadDelta {
            spans,
            frames,
            hashes: changed_hashes(old.map(|old| old.tree), new.tree),
        },
        data,
    })
}

fn unreadable(source: io::Error) -> Error {
    super::DeltaError::Payload { source }.into()
}

/// The patched blocks of each text, ascending, with what makes them.
fn matched(
    spans: &Spans,
    texts: &[Text],
    (old, new, code): (&(dyn ReadAt + Sync), &(dyn ReadAt + Sync), &CodeRanges),
    phase: &dyn Phase,
) -> Result<Vec<Patched>, Error> {
    let found: io::Result<Vec<Vec<Patched>>> = texts
        .par_iter()
        .map(|text| {
            if phase.checkpoint().is_err() {
                return Ok(Vec::new());
            }
            let runs = patched_runs(spans, text);
            let made = match_text(&runs, text, (old, new, code))?;
            let blocks: u64 = runs.iter().map(|run| u64::from(run.end - run.start)).sum();
            phase.advance(blocks * BLOCK);
            Ok(made)
        })
        .collect();
    phase.checkpoint()?;
    let mut all: Vec<Patched> = found.map_err(unreadable)?.into_iter().flatten().collect();
    all.sort_by_key(|patched| patched.span.start);
    Ok(all)
}

fn patched_runs(spans: &Spans, text: &Text) -> Vec<Range<u32>> {
    let within = text
        .new
        .iter()
        .flat_map(|range| spans.within(range.start, range.end));
    let is_patched = |span: &Span| span.source == SpanSource::Patch;
    within
        .filter(is_patched)
        .map(|span| span.first..span.end())
        .collect()
}

fn match_text(
    runs: &[Range<u32>],
    text: &Text,
    (old, new, code): (&(dyn ReadAt + Sync), &(dyn ReadAt + Sync), &CodeRanges),
) -> io::Result<Vec<Patched>> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted = Vec::new();
    if !text.old.is_empty() {
        for run in runs {
            wanted.extend(read(
                new,
                u64::from(run.start) * BLOCK..u64::from(run.end) * BLOCK,
            )?);
        }
    }
    let mut before = OldText::default();
    for range in &text.old {
        before.push(range.start, &read(old, range.clone())?);
    }
    let total: u64 = runs
        .iter()
        .map(|run| u64::from(run.end - run.start) * BLOCK)
        .sum();
    let split = |mut ops: Ops| -> Vec<Patched> {
        let runs = runs.iter().cloned();
        runs.map(|span| {
            let ops = ops.take(u64::from(span.end - span.start) * BLOCK);
            Patched { span, ops }
        })
        .collect()
    };
    if text.old.is_empty() {
        return Ok(split(super::ops::all_extra(total)));
    }
    match text.likeness {
        Likeness::Packed => Ok(split(before.anchored(&wanted, anchors::Likeness::Same))),
        Likeness::Similar => {
            let ops = before.ops(&wanted);
            let is_alike = before.same_bytes(&ops, &wanted) >= total / 100 * ALIKE_PERCENT;
            drop((before, wanted));
            let patched = split(ops);
            if is_alike {
                return Ok(patched);
            }
            let anew = split(super::ops::all_extra(total));
            let estimate = |patched: &[Patched]| frames::estimate(&runs_of(patched), old, new, code);
            Ok(if estimate(&anew)? < estimate(&patched)? {
                anew
            } else {
                patched
            })
        }
    }
}

/// Patched blocks as what a frame is encoded of.
fn runs_of<'p>(patched: &'p [Patched]) -> Vec<Run<'p>> {
    let run = |patched: &'p Patched| Run {
        start: u64::from(patched.span.start) * BLOCK,
        ops: &patched.ops,
    };
    patched.iter().map(run).collect()
}

fn read(from: &(dyn ReadAt + Sync), range: Range<u64>) -> io::Result<Vec<u8>> {
    let len =
        usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| io::ErrorKind::FileTooLarge)?;
    from.read_vec(range.start, len)
}

/// A frame before it is encoded: whole groups, with the patched blocks in them.
struct Cut {
    groups: Range<u32>,
    patched: Vec<Patched>,
}

/// Cuts patched blocks into frames at groups' ends.
fn cut(spans: &Spans, patched: &mut Vec<Patched>) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    let mut waiting = std::mem::take(patched).into_iter().peekable();
    let mut rest: Option<Patched> = None;
    for group in 0..spans.blocks().div_ceil(GROUP_BLOCKS) {
        let end = (group + 1).saturating_mul(GROUP_BLOCKS);
        let mut here = Vec::new();
        while let Some(mut next) = rest
            .take()
            .or_else(|| waiting.next_if(|patched| patched.span.start < end))
        {
            if next.span.start >= end {
                rest = Some(next);
                break;
            }
            if next.span.end > end {
                let ops = next.ops.take(u64::from(end - next.span.start) * BLOCK);
                rest = Some(Patched {
                    span: end..next.span.end,
                    ops: next.ops,
                });
                here.push(Patched {
                    span: next.span.start..end,
                    ops,
                });
                break;
            }
            here.push(next);
        }
        if here.is_empty() {
            continue;
        }
        match cuts.last_mut().filter(|cut| made_by(&cut.patched) < FRAME_BYTES) {
            Some(cut) => {
                cut.groups.end = group + 1;
                cut.patched.extend(here);
            }
            None => cuts.push(Cut {
                groups: group..group + 1,
                patched: here,
            }),
        }
    }
    cuts
}

fn made_by(patched: &[Patched]) -> u64 {
    patched
        .iter()
        .map(|patched| u64::from(patched.span.end - patched.span.start) * BLOCK)
        .sum()
}

/// Encodes a frame; in halves where it gets too long.
fn encode(
    cut: &Cut,
    old: &(dyn ReadAt + Sync),
    new: &(dyn ReadAt + Sync),
    code: &CodeRanges,
) -> io::Result<Vec<Framed>> {
    let mut done = Vec::new();
    let mut waiting = vec![(cut.groups.clone(), cut.patched.as_slice())];
    while let Some((groups, patched)) = waiting.pop() {
        match frames::encode(&runs_of(patched), old, new, code, Effort::Thorough)? {
            Some(Encoded {
                streams,
                sha256,
                bytes,
            }) => done.push((
                PatchFrame {
                    first_group: groups.start,
                    groups: groups.end - groups.start,
                    streams,
                    sha256,
                },
                bytes,
            )),
            None => {
                let middle = groups.start + (groups.end - groups.start).div_ceil(2);
                let at = patched.partition_point(|patched| patched.span.start < middle * GROUP_BLOCKS);
                let (first, second) = patched.split_at(at);
                if groups.end - groups.start < 2 {
                    return Err(io::Error::other("a group's frame is longer than its blocks"));
                }
                for (groups, half) in [(middle..groups.end, second), (groups.start..middle, first)] {
                    if !half.is_empty() {
                        waiting.push((groups, half));
                    }
                }
            }
        }
    }
    Ok(done)
}

/// Hashes of the new tree's leaf blocks that aren't those of the old tree at the same place.
fn changed_hashes(old: Option<&HashTree>, new: &HashTree) -> Vec<(u32, [u8; 32])> {
    let before = old.map(HashTree::leaf_block_hashes).unwrap_or_default();
    let after = new.leaf_block_hashes();
    if after.len() < 2 {
        return Vec::new(); // the root hash is the hash
    }
    (0_u32..)
        .zip(after)
        .filter(|(group, hash)| {
            let there = usize::try_from(*group).ok().and_then(|group| before.get(group));
            there != Some(hash)
        })
        .collect()
}
