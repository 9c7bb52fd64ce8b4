//! The top table: where each page of frames begins, and its digest.

use super::{ENTRY_BYTES, FrameTable, IndexError, PAGE_FRAMES, PageTable, page::Page, totals};
use crate::{
    digest::FileDigest,
    manifest::{Manifest, Target},
    verity::BLOCK_BYTES,
};

const MAGIC: [u8; 8] = *b"OUTCROPI";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 32;
/// Bytes of a page's entry: first block, first byte, SHA-256.
const PAGE_ENTRY_BYTES: usize = 48;

/// Where the pages of both payloads begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopTable {
    /// The boot payload's.
    pub boot: PageTable,
    /// The root file system's.
    pub root: PageTable,
}

impl TopTable {
    /// Reads the first bytes of the member, as many as the manifest says. Nothing in them is used before their digest is compared.
    ///
    /// # Errors
    /// See [`IndexError`]. Nothing is allocated that `bytes` doesn't hold.
    pub fn decode(bytes: &[u8], manifest: &Manifest) -> Result<Self, IndexError> {
        let expected = manifest.members.index_top;
        Self::check_length(manifest)?;
        let found = FileDigest::of(bytes);
        if bytes.len() as u64 != expected.bytes || found != expected.sha256 {
            let expected = expected.sha256;
            return Err(IndexError::Top { expected, found });
        }
        let (header, entries) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(IndexError::Form)?;
        let (boot_frames, root_frames) = counts(header).ok_or(IndexError::Form)?;
        let (entries, rest) = entries.as_chunks::<PAGE_ENTRY_BYTES>();
        let (boot_pages, root_pages) = (pages_of(boot_frames), pages_of(root_frames));
        if !rest.is_empty() || entries.len() as u64 != boot_pages + root_pages {
            return Err(IndexError::Form);
        }
        let at = usize::try_from(boot_pages).map_err(|_| IndexError::Form)?;
        let (boot, root) = entries.split_at_checked(at).ok_or(IndexError::Form)?;
        let pages = |entries: &[[u8; PAGE_ENTRY_BYTES]]| entries.iter().map(page).collect();
        let end_of_boot = expected.bytes + boot_frames * ENTRY_BYTES as u64;
        if end_of_boot + root_frames * ENTRY_BYTES as u64 != manifest.members.index.bytes {
            return Err(IndexError::Form);
        }
        let boot_totals = totals(&manifest.boot, &manifest.members.boot);
        let root_totals = totals(&manifest.root, &manifest.members.root);
        Ok(Self {
            boot: PageTable::new(pages(boot), boot_frames, boot_totals, expected.bytes)?,
            root: PageTable::new(pages(root), root_frames, root_totals, end_of_boot)?,
        })
    }

    /// Refuses a length that no index of these payloads has: a device reads the top table into memory.
    ///
    /// # Errors
    /// [`IndexError::Length`].
    pub fn check_length(manifest: &Manifest) -> Result<(), IndexError> {
        // Each frame has a block.
        let pages = |target: &Target| pages_of(target.bytes / BLOCK_BYTES as u64);
        let most =
            HEADER_BYTES as u64 + (pages(&manifest.boot) + pages(&manifest.root)) * PAGE_ENTRY_BYTES as u64;
        let bytes = manifest.members.index_top.bytes;
        if bytes > most {
            return Err(IndexError::Length(bytes));
        }
        Ok(())
    }
}

const fn pages_of(frames: u64) -> u64 {
    frames.div_ceil(PAGE_FRAMES as u64)
}

/// Frames of the boot payload and of the root; none for a header that Outcrop doesn't write.
fn counts(header: &[u8; HEADER_BYTES]) -> Option<(u64, u64)> {
    let (magic, numbers) = header.split_first_chunk::<8>()?;
    let (version, numbers) = numbers.split_first_chunk::<4>()?;
    let (boot, numbers) = numbers.split_first_chunk::<4>()?;
    let (root, rest) = numbers.split_first_chunk::<4>()?;
    let is_ours =
        *magic == MAGIC && u32::from_le_bytes(*version) == VERSION && rest.iter().all(|byte| *byte == 0);
    let count = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    is_ours.then(|| (count(boot), count(root)))
}

fn page(entry: &[u8; PAGE_ENTRY_BYTES]) -> Page {
    let word = |at: usize| {
        let bytes = std::array::from_fn(|index| entry.get(at + index).copied().unwrap_or_default());
        u64::from_le_bytes(bytes)
    };
    let digest = std::array::from_fn(|index| entry.get(16 + index).copied().unwrap_or_default());
    Page {
        block: word(0),
        byte: word(8),
        sha256: FileDigest::from_bytes(digest),
    }
}

/// The table over both payloads' frames and the bytes of their pages.
pub(super) fn encode(
    boot: &FrameTable,
    root: &FrameTable,
    boot_pages: &[Vec<u8>],
    root_pages: &[Vec<u8>],
) -> Vec<u8> {
    let count = |table: &FrameTable| u32::try_from(table.frames().len()).unwrap_or(u32::MAX);
    let mut bytes = MAGIC.to_vec();
    for number in [VERSION, count(boot), count(root)] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.resize(HEADER_BYTES, 0);
    for (table, pages) in [(boot, boot_pages), (root, root_pages)] {
        for (frames, page) in table.frames().chunks(PAGE_FRAMES).zip(pages) {
            let (block, byte) = frames.first().map_or((0, 0), |frame| (frame.first, frame.start));
            bytes.extend(block.to_le_bytes());
            bytes.extend(byte.to_le_bytes());
            bytes.extend(FileDigest::of(page).as_bytes());
        }
    }
    bytes
}
