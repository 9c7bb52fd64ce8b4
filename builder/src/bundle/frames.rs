//! Payloads as zstd frames: each compressed by itself, so that a device can fetch the few that it lacks.

use std::io::{self, Write};

use outcrop_release::{
    bundle::{Frame, FrameTable, MemberName, PlacedFrame},
    digest::FileDigest,
    manifest::Member,
    verity::{BLOCK_BYTES, BlockHash, HashTree, Salt, hash_block},
};
use rayon::prelude::*;
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::CParameter,
};

use super::{BundleError, cuts::Cut};
use crate::sha256::Sha256;
use crate::{progress::Phase, read_at::ReadAt};

/// zstd's level: a higher one takes much more time for little (`docs/adr/0017-frames-and-index.md`).
const LEVEL: i32 = 15;
/// Log2 of the largest window that a device reserves memory for.
const WINDOW_LOG: u32 = 20;
/// Frames that are compressed side by side, and written together.
const BATCH: usize = 128;

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
    salt: &Salt,
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
        let packed: io::Result<Vec<Packed>> = batch
            .par_iter()
            .map_init(compressor, |compressor, cut| {
                let compressor = compressor
                    .as_mut()
                    .map_err(|error| io::Error::other(error.to_string()))?;
                pack(compressor, payload, *cut, salt)
            })
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

fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    // The index has a digest of each frame already.
    compressor.set_parameter(CParameter::ChecksumFlag(false))?;
    Ok(compressor)
}

fn pack(
    compressor: &mut Compressor<'_>,
    payload: &(dyn ReadAt + Sync),
    (first, blocks): Cut,
    salt: &Salt,
) -> io::Result<Packed> {
    let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let len = usize::try_from(blocks * BLOCK_BYTES as u64).map_err(too_long)?;
    let plain = payload.read_vec(first * BLOCK_BYTES as u64, len)?;
    let bytes = compressor.compress(&plain)?;
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
    table.frames().par_iter().try_for_each(|placed| {
        phase.checkpoint()?;
        let PlacedFrame { frame, first, .. } = placed;
        let damaged = |why| BundleError::Frame {
            payload: name,
            frame: placed.number,
            why,
        };
        let bytes = member
            .read_vec(placed.start, frame.bytes as usize)
            .map_err(|_| damaged("it can't be read"))?;
        if FileDigest::of(&bytes) != frame.sha256 {
            return Err(damaged("its digest is another"));
        }
        let plain = unpack(frame, &bytes).ok_or_else(|| damaged("it doesn't give its blocks"))?;
        let blocks = plain.as_chunks::<BLOCK_BYTES>().0;
        if !(*first..)
            .zip(blocks)
            .all(|(index, block)| tree.matches(index, block))
        {
            return Err(damaged("a block doesn't match the hash tree"));
        }
        take(*first, &plain)?;
        phase.advance(plain.len() as u64);
        Ok(())
    })
}

/// The blocks of a frame; none if it gives fewer or more. Nothing longer than a frame may be is ever allocated.
fn unpack(frame: &Frame, bytes: &[u8]) -> Option<Vec<u8>> {
    let expected = frame.blocks as usize * BLOCK_BYTES;
    let mut decompressor = Decompressor::new().ok()?;
    decompressor
        .set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(WINDOW_LOG))
        .ok()?;
    let plain = decompressor.decompress(bytes, expected).ok()?;
    (plain.len() == expected).then_some(plain)
}
