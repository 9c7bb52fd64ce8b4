//! Where frames begin: at the borders of files, so that a changed one doesn't bring its neighbours' bytes along.

use std::collections::BTreeMap;

use outcrop_release::{
    board::Board,
    bundle::MAX_FRAME_BLOCKS,
    fat::{FatError, FatReader},
    units::Extent,
    verity::BLOCK_BYTES,
};

use crate::{
    boot::pe::{MAX_HEADER_BYTES, PeHeaders},
    erofs::{Node, Reader},
    read_at::ReadAt,
};

/// Blocks of a frame of a file: 64 KiB. Smaller ones compress worse, larger ones make a device fetch more for one changed block
/// (`docs/adr/0017-frames-and-index.md`).
pub(super) const FILE_BLOCKS: u64 = 16;
/// Blocks of a frame of what many files share (inodes, small files, folders): 16 KiB.
pub(super) const SHARED_BLOCKS: u64 = 4;
const _: () = assert!(FILE_BLOCKS <= MAX_FRAME_BLOCKS as u64);

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A frame's first block, and how many it has.
pub(super) type Cut = (u64, u64);

/// Stretches of a payload, by their first block: up to the next one's, with the longest frame that each is cut into.
struct Stretches {
    starts: BTreeMap<u64, u64>,
    blocks: u64,
}

impl Stretches {
    /// One stretch of all blocks.
    fn new(payload: &dyn ReadAt, longest: u64) -> Self {
        Self {
            starts: BTreeMap::from([(0, longest)]),
            blocks: payload.len().div_ceil(BLOCK),
        }
    }

    /// Makes the blocks of some bytes a stretch of its own; what is behind it goes on as `behind`.
    fn add(&mut self, bytes: &Extent, longest: u64, behind: u64) {
        let (start, end) = (bytes.start / BLOCK, bytes.end().div_ceil(BLOCK));
        self.starts.entry(end).or_insert(behind);
        self.starts.insert(start, longest);
    }

    /// Begins a stretch at a block, in the middle of another.
    fn split(&mut self, block: u64, longest: u64) {
        self.starts.entry(block).or_insert(longest);
    }

    /// Each stretch cut into equal frames, as few as may be.
    fn cuts(&self) -> Vec<Cut> {
        let starts = self.starts.iter().filter(|(start, _)| **start < self.blocks);
        let ends = starts
            .clone()
            .skip(1)
            .map(|(start, _)| *start)
            .chain([self.blocks]);
        let stretches = starts
            .zip(ends)
            .map(|((start, longest), end)| (*start, end - start, *longest));
        stretches
            .flat_map(|(start, blocks, longest)| {
                let frames = blocks.div_ceil(longest).max(1);
                let at = move |frame: u64| start + blocks * frame / frames;
                (0..frames).map(move |frame| (at(frame), at(frame + 1) - at(frame)))
            })
            .collect()
    }
}

/// The frames of a root file system. What is no EROFS image has no files.
pub(super) fn of_root(payload: &(dyn ReadAt + Sync)) -> Vec<Cut> {
    let Ok(reader) = Reader::open(payload) else {
        return Stretches::new(payload, FILE_BLOCKS).cuts();
    };
    let mut stretches = Stretches::new(payload, SHARED_BLOCKS);
    for entry in reader.walk().filter_map(Result::ok) {
        let Node::File { extents, .. } = entry.node else {
            continue;
        };
        // The end of a file that lies behind its inode belongs to what is shared.
        for extent in extents
            .iter()
            .filter(|extent| extent.offset.is_multiple_of(BLOCK))
        {
            let bytes = Extent {
                start: extent.offset,
                len: extent.bytes,
            };
            stretches.add(&bytes, FILE_BLOCKS, SHARED_BLOCKS);
        }
    }
    stretches.cuts()
}

/// The frames of a boot payload. What isn't what the board starts has no parts.
pub(super) fn of_boot(payload: &(dyn ReadAt + Sync), board: Board) -> Vec<Cut> {
    let mut stretches = Stretches::new(payload, FILE_BLOCKS);
    let parts = match board {
        Board::Efi => uki_sections(payload),
        Board::Rpi => fat_files(payload),
    };
    for part in parts.unwrap_or_default().iter().filter(|part| part.len > 0) {
        // A block that two parts share is a stretch of its own.
        for block in [
            part.start / BLOCK,
            part.start.div_ceil(BLOCK),
            part.end() / BLOCK,
            part.end().div_ceil(BLOCK),
        ] {
            stretches.split(block, FILE_BLOCKS);
        }
    }
    // Headers with a checksum, or a boot sector.
    stretches.split(1, FILE_BLOCKS);
    stretches.cuts()
}

fn uki_sections(payload: &dyn ReadAt) -> Option<Vec<Extent>> {
    let len = usize::try_from(payload.len()).ok()?.min(MAX_HEADER_BYTES);
    let headers = PeHeaders::parse(&payload.read_vec(0, len).ok()?, payload.len()).ok()?;
    let extent = |content: std::ops::Range<u64>| Extent {
        start: content.start,
        len: content.end - content.start,
    };
    Some(
        headers
            .sections
            .iter()
            .map(|section| extent(section.content()))
            .collect(),
    )
}

/// The payload is the beginning of its file system, up to the end of the last file.
struct Padded<'a>(&'a dyn ReadAt);

impl ReadAt for Padded<'_> {
    fn len(&self) -> u64 {
        u64::MAX
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let there = self.0.len().saturating_sub(offset);
        let there = usize::try_from(there).map_or(buffer.len(), |there| there.min(buffer.len()));
        let (now, behind) = buffer.split_at_mut(there);
        behind.fill(0);
        if now.is_empty() {
            return Ok(());
        }
        self.0.read_exact_at(now, offset)
    }
}

fn fat_files(payload: &dyn ReadAt) -> Option<Vec<Extent>> {
    let fat = FatReader::open(Padded(payload)).ok()?;
    let mut extents = Vec::new();
    fat_folder(&fat, "", &mut extents).ok()?;
    Some(extents)
}

fn fat_folder(fat: &FatReader<Padded<'_>>, path: &str, extents: &mut Vec<Extent>) -> Result<(), FatError> {
    for entry in fat.list(path)? {
        if entry.is_folder {
            fat_folder(fat, &format!("{path}/{}", entry.name), extents)?;
        } else {
            extents.extend(fat.extents(&entry)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(stretches: &[(u64, u64)], blocks: u64) -> Vec<Cut> {
        let stretches = Stretches {
            starts: stretches.iter().copied().collect(),
            blocks,
        };
        stretches.cuts()
    }

    #[test]
    fn stretches_are_cut_into_equal_frames_that_are_not_too_long() {
        assert_eq!(cuts(&[(0, 4)], 9), [(0, 3), (3, 3), (6, 3)]);
        assert_eq!(cuts(&[(0, 2), (3, 32)], 40), [(0, 1), (1, 2), (3, 18), (21, 19)]);
        assert_eq!(cuts(&[(0, 4), (2, 4), (5, 4)], 5), [(0, 2), (2, 3)]);
    }

    #[test]
    fn what_has_no_parts_is_cut_all_the_same() {
        let payload = vec![1_u8; 70 * BLOCK_BYTES];
        let frames = |cuts: Vec<Cut>| cuts.iter().map(|(_, blocks)| *blocks).collect::<Vec<_>>();
        assert_eq!(frames(of_root(&payload)), [14; 5]);
        for board in [Board::Efi, Board::Rpi] {
            assert_eq!(frames(of_boot(&payload, board)), [1, 13, 14, 14, 14, 14]);
        }
    }

    #[test]
    fn files_that_share_a_block_have_it_between_them() {
        let mut stretches = Stretches::new(&vec![0_u8; 10 * BLOCK_BYTES], 100);
        let part = |start, len| Extent { start, len };
        stretches.add(&part(4096, 8192), 100, 50);
        stretches.add(&part(4 * 4096, 100), 100, 50);
        assert_eq!(stretches.cuts(), [(0, 1), (1, 2), (3, 1), (4, 1), (5, 5)]);
    }
}
