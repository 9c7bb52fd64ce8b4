//! Payloads as zstd frames: each compressed with nothing but the blocks right before it, so that a device can fetch the few that it
//! lacks.

use std::io::{self, Write};

use outcrop_release::{
    bundle::{FRAME_WINDOW_LOG, Frame, FrameTable, MemberName, PREFIX_BYTES, PlacedFrame, unpack_frame},
    digest::FileDigest,
    manifest::Member,
    verity::{BLOCK_BYTES, BlockHash, HashTree, Salt, hash_block},
};
use rayon::prelude::*;
use zstd::{bulk::Compressor, zstd_safe::CParameter};

use super::{BundleError, cuts::Cut};
use crate::sha256::Sha256;
use crate::{progress::Phase, read_at::ReadAt};

/// How much time a bundle's size is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Small: level 15 (a higher one takes much more time for little, `docs/adr/0017-frames-and-index.md`), each frame with what is
    /// before it.
    #[default]
    Best,
    /// Quick: for releases that go nowhere.
    Fast,
}

impl Compression {
    /// zstd's level.
    const fn level(self) -> i32 {
        match self {
            Self::Best => 15,
            Self::Fast => 3,
        }
    }

    /// What a frame is compressed with, of what is before it.
    const fn prefix(self, before: &[u8]) -> &[u8] {
        match self {
            Self::Best => before,
            Self::Fast => &[],
        }
    }
}

/// Frames that are compressed side by side, and written together.
const BATCH: usize = 128;
/// Frames that are unpacked at a time, and then hashed side by side.
const CHECKED: usize = 64;

/// A payload's frames.
pub(super) struct Compressed {
    /// Where they lie.
    pub(super) table: FrameTable,
    /// All of them.
    pub(super) member: Member,
    /// Hashes of the blocks that went into them.
    pub(super) blocks: Vec<BlockHash>,
}

/// One frame, its bytes, and its blocks' hashes.
type Packed = (Frame, Vec<u8>, Vec<BlockHash>);

/// Compresses all of `payload`, which is whole blocks, cut into frames, and writes these to `out`.
pub(super) fn compress(
    name: MemberName,
    payload: &(dyn ReadAt + Sync),
    cuts: &[Cut],
    (salt, compression): (&Salt, Compression),
    out: &mut dyn Write,
    unwritten: &dyn Fn(io::Error) -> BundleError,
    phase: &dyn Phase,
) -> Result<Compressed, BundleError> {
    let failed = |source| BundleError::Compress {
        payload: name,
        source,
    };
    let (mut frames, mut blocks) = (Vec::with_capacity(cuts.len()), Vec::new());
    let mut hash = Sha256::new();
    for batch in cuts.chunks(BATCH) {
        phase.checkpoint()?;
        let window = Window::of(payload, batch).map_err(failed)?;
        let packed: io::Result<Vec<Packed>> = batch
            .par_iter()
            .map_init(
                || compressor(compression),
                |compressor, cut| {
                    let compressor = compressor
                        .as_mut()
                        .map_err(|error| io::Error::other(error.to_string()))?;
                    let (before, plain) = window.around(*cut).ok_or(io::ErrorKind::UnexpectedEof)?;
                    pack(compressor, compression.prefix(before), plain, salt)
                },
            )
            .collect();
        for (frame, bytes, hashes) in packed.map_err(failed)? {
            out.write_all(&bytes).map_err(unwritten)?;
            hash.update(&bytes);
            phase.advance(u64::from(frame.blocks) * BLOCK_BYTES as u64);
            frames.push(frame);
            blocks.extend(hashes);
        }
    }
    let table = FrameTable::new(frames)?;
    let member = Member {
        bytes: table.totals().1,
        sha256: FileDigest::from_bytes(hash.finish()),
    };
    Ok(Compressed {
        table,
        member,
        blocks,
    })
}

/// A part of a payload that has some frames' blocks, and those that they are compressed with.
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Reads what frames that follow one another need.
    fn of(payload: &(dyn ReadAt + Sync), cuts: &[Cut]) -> io::Result<Self> {
        let first = cuts.first().map_or(0, |(first, _)| first * BLOCK_BYTES as u64);
        let end = cuts
            .last()
            .map_or(0, |(first, blocks)| (first + blocks) * BLOCK_BYTES as u64);
        let start = first.saturating_sub(PREFIX_BYTES as u64);
        let len = usize::try_from(end - start).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let bytes = payload.read_vec(start, len)?;
        Ok(Self { start, bytes })
    }

    /// What is before a frame's blocks, and these.
    fn around(&self, (first, blocks): Cut) -> Option<(&[u8], &[u8])> {
        let at = usize::try_from((first * BLOCK_BYTES as u64).checked_sub(self.start)?).ok()?;
        let len = usize::try_from(blocks * BLOCK_BYTES as u64).ok()?;
        let before = self.bytes.get(at.saturating_sub(PREFIX_BYTES)..at)?;
        Some((before, self.bytes.get(at..at + len)?))
    }
}

fn compressor<'w>(compression: Compression) -> io::Result<Compressor<'w>> {
    let mut compressor = Compressor::new(compression.level())?;
    compressor.set_parameter(CParameter::WindowLog(FRAME_WINDOW_LOG))?;
    // The index has a digest of each frame already.
    compressor.set_parameter(CParameter::ChecksumFlag(false))?;
    Ok(compressor)
}

fn pack<'w>(
    compressor: &mut Compressor<'w>,
    before: &'w [u8],
    plain: &[u8],
    salt: &Salt,
) -> io::Result<Packed> {
    let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let refused = |code| io::Error::other(zstd::zstd_safe::get_error_name(code));
    compressor.context_mut().ref_prefix(before).map_err(refused)?;
    let bytes = compressor.compress(plain)?;
    let hashes: Vec<BlockHash> = plain
        .as_chunks::<BLOCK_BYTES>()
        .0
        .iter()
        .map(|block| hash_block(salt, block))
        .collect();
    let frame = Frame {
        blocks: u32::try_from(hashes.len()).map_err(too_long)?,
        bytes: u32::try_from(bytes.len()).map_err(too_long)?,
        sha256: FileDigest::of(&bytes),
    };
    Ok((frame, bytes, hashes))
}

/// Takes blocks: the number of the first one, and their bytes.
pub(super) type Take<'a> = dyn Fn(u64, &[u8]) -> Result<(), BundleError> + Sync + 'a;

/// Checks that every frame of `table` in `member` has its digest and gives the blocks of `tree`, and hands these over,
/// those of several frames at a time.
pub(super) fn check(
    name: MemberName,
    member: &(dyn ReadAt + Sync),
    table: &FrameTable,
    tree: &HashTree,
    phase: &dyn Phase,
    take: &Take<'_>,
) -> Result<(), BundleError> {
    let damaged = |placed: &PlacedFrame, why| BundleError::Frame {
        payload: name,
        frame: placed.number,
        why,
    };
    let read = |placed: &PlacedFrame| {
        let bytes = member.read_vec(placed.start, placed.frame.bytes as usize);
        let bytes = bytes.map_err(|_| damaged(placed, "it can't be read"))?;
        if FileDigest::of(&bytes) == placed.frame.sha256 {
            Ok(bytes)
        } else {
            Err(damaged(placed, "its digest is another"))
        }
    };
    let mut unpacked = Unpacked::default();
    for batch in table.frames().chunks(CHECKED) {
        phase.checkpoint()?;
        let packed: Vec<Vec<u8>> = batch.par_iter().map(read).collect::<Result<_, _>>()?;
        for (placed, bytes) in batch.iter().zip(&packed) {
            if !unpacked.add(&placed.frame, bytes) {
                return Err(damaged(placed, "it doesn't give its blocks"));
            }
        }
        batch.par_iter().try_for_each(|placed| {
            let plain = unpacked.blocks(placed);
            let blocks = plain.as_chunks::<BLOCK_BYTES>().0;
            let mut numbered = (placed.first..).zip(blocks);
            if !numbered.all(|(index, block)| tree.matches(index, block)) {
                return Err(damaged(placed, "a block doesn't match the hash tree"));
            }
            take(placed.first, plain)?;
            phase.advance(plain.len() as u64);
            Ok(())
        })?;
        unpacked.forget();
    }
    Ok(())
}

/// Blocks of frames that were unpacked, one behind the other.
#[derive(Default)]
struct Unpacked {
    bytes: Vec<u8>,
    /// How many were forgotten.
    start: u64,
}

impl Unpacked {
    /// Adds the blocks of the next frame; false if it gives fewer or more. Nothing longer than a frame may be is ever allocated.
    fn add(&mut self, frame: &Frame, bytes: &[u8]) -> bool {
        let end = self.bytes.len();
        self.bytes.resize(end + frame.blocks as usize * BLOCK_BYTES, 0);
        let before = end.saturating_sub(PREFIX_BYTES);
        let window = self.bytes.get_mut(before..).unwrap_or_default();
        unpack_frame(bytes, window, end - before)
    }

    /// The blocks of a frame that was added and isn't forgotten.
    fn blocks(&self, placed: &PlacedFrame) -> &[u8] {
        let at = (placed.first * BLOCK_BYTES as u64).checked_sub(self.start);
        let at = at.and_then(|at| usize::try_from(at).ok());
        let rest = at.and_then(|at| self.bytes.get(at..)).unwrap_or_default();
        rest.get(..placed.frame.blocks as usize * BLOCK_BYTES)
            .unwrap_or_default()
    }

    /// Forgets all but what the next frame needs.
    fn forget(&mut self) {
        let needless = self.bytes.len().saturating_sub(PREFIX_BYTES);
        self.bytes.drain(..needless);
        self.start += needless as u64;
    }
}
