//! What of a payload belongs together: a file, and all that is no file's. It is looked for in what it was before.

use std::{collections::HashMap, ops::Range};

use outcrop_release::verity::BLOCK_BYTES;

use crate::{
    erofs::{Entry, Node, ReadError, Reader},
    partners::Partners,
    read_at::ReadAt,
    tree::TreePath,
};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A part of the new payload, and the parts of the old one that it may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// Blocks of the new payload, ascending.
    pub(super) new: Vec<Range<u32>>,
    /// Bytes of the old payload.
    pub(super) old: Vec<Range<u64>>,
    /// How they are alike.
    pub(super) likeness: Likeness,
}

/// How two versions of a text are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// As files and programs are: much of it is the same but for some bytes here and there.
    Similar,
    /// As packed content is: some of it is the same, and the rest noise.
    Packed,
}

/// A file's blocks.
#[derive(Debug)]
struct Placed {
    path: TreePath,
    blocks: Range<u32>,
}

/// The texts of a root file system: each file with blocks of its own, and last all that is in none.
pub(super) fn of_root<O: ReadAt, N: ReadAt>(
    old: Option<&Reader<O>>,
    new: &Reader<N>,
    new_blocks: u32,
) -> Result<Vec<Text>, ReadError> {
    let old_blocks = old.map_or(0, |old| {
        u32::try_from(old.size_bytes() / BLOCK).unwrap_or(u32::MAX)
    });
    let before = old.map(files).transpose()?.unwrap_or_default();
    let after = files(new)?;
    let partners = Partners::new(
        before.iter().map(|file| &file.path),
        after.iter().map(|file| &file.path),
    );
    let places: HashMap<&TreePath, &Placed> = before.iter().map(|file| (&file.path, file)).collect();
    let mut texts: Vec<Text> = after
        .iter()
        .map(|file| {
            let partner = partners.partner(&file.path);
            let found = partner.and_then(|path| places.get(path));
            Text {
                new: vec![file.blocks.clone()],
                old: found.map(|file| bytes(&file.blocks)).into_iter().collect(),
                likeness: Likeness::Similar,
            }
        })
        .collect();
    texts.push(Text {
        new: outside(&after, new_blocks),
        old: outside(&before, old_blocks).iter().map(bytes).collect(),
        likeness: Likeness::Similar,
    });
    Ok(texts)
}

/// Files with blocks of their own, by their first block; each extent once.
fn files<R: ReadAt>(reader: &Reader<R>) -> Result<Vec<Placed>, ReadError> {
    let mut files = Vec::new();
    for entry in reader.walk() {
        let entry = entry?;
        if let Some(blocks) = blocks(&entry) {
            files.push(Placed {
                path: entry.path,
                blocks,
            });
        }
    }
    files.sort_by(|a, b| (a.blocks.start, &a.path).cmp(&(b.blocks.start, &b.path)));
    let mut end = 0;
    files.retain(|file| {
        let is_first = file.blocks.start >= end;
        if is_first {
            end = file.blocks.end;
        }
        is_first
    });
    Ok(files)
}

fn blocks(entry: &Entry) -> Option<Range<u32>> {
    let Node::File { extents, .. } = &entry.node else {
        return None;
    };
    let extent = extents.first().filter(|extent| extent.offset % BLOCK == 0)?;
    let start = u32::try_from(extent.offset / BLOCK).ok()?;
    let count = u32::try_from(extent.bytes.div_ceil(BLOCK)).ok()?;
    Some(start..start.checked_add(count)?)
}

fn bytes(blocks: &Range<u32>) -> Range<u64> {
    u64::from(blocks.start) * BLOCK..u64::from(blocks.end) * BLOCK
}

/// The blocks that are no file's.
fn outside(files: &[Placed], blocks: u32) -> Vec<Range<u32>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    for file in files {
        if file.blocks.start > at {
            ranges.push(at..file.blocks.start);
        }
        at = at.max(file.blocks.end);
    }
    if at < blocks {
        ranges.push(at..blocks);
    }
    ranges
}
