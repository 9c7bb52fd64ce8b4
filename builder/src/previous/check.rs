//! Checks the root file system of a disk image, block by block.

use outcrop_release::{
    digest::RootHash,
    partition::Partition,
    slot::Slot,
    verity::{BLOCK_BYTES, HashTree},
};
use rayon::prelude::*;

use super::PreviousError;
use crate::{
    disk::read::{DiskImage, RootFacts},
    inspect::ImageError,
    progress::{Progress, Unit},
    read_at::ReadAt as _,
};

/// Blocks that are read at a time.
const PIECE_BLOCKS: u16 = 256;
/// Longest hash tree that is read into memory: that of 64 GiB.
const MAX_TREE_BYTES: u64 = 1 << 29;

/// Checks that every block of slot A has the hash that its tree says, and the tree the root hash.
pub(super) fn partition(
    image: &DiskImage,
    facts: &RootFacts,
    root_hash: RootHash,
    of: &str,
    progress: &dyn Progress,
) -> Result<(), PreviousError> {
    let geometry = facts.superblock.geometry;
    let open = |partition| {
        let opened = image.partition(partition).map_err(ImageError::from);
        opened.map_err(super::unreadable(of))
    };
    let (verity, root) = (open(Partition::Verity(Slot::A))?, open(Partition::Root(Slot::A))?);
    let bytes = Some(geometry.partition_bytes()).filter(|bytes| *bytes <= MAX_TREE_BYTES.min(verity.len()));
    let outside = || PreviousError::RootHash {
        of: of.to_owned(),
        why: "the hash tree is longer than its partition",
    };
    let bytes = bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(outside)?;
    let bytes = verity.read_vec(0, bytes).map_err(super::failed(of))?;
    let tree = HashTree::parse(&bytes, &root_hash).map_err(|source| PreviousError::Tree {
        of: of.to_owned(),
        source,
    })?;
    let phase = progress.phase(
        "check the previous release",
        Some(geometry.data_bytes()),
        Unit::Bytes,
    );
    let blocks = geometry.data_blocks();
    let check = |first: u64| {
        phase.checkpoint()?;
        let count = u64::from(PIECE_BLOCKS).min(blocks - first);
        let bytes = usize::try_from(count).unwrap_or_default() * BLOCK_BYTES;
        let read = root.read_vec(first * BLOCK_BYTES as u64, bytes);
        let read = read.map_err(super::failed(of))?;
        let found = read.as_chunks::<BLOCK_BYTES>().0;
        let wrong = (first..)
            .zip(found)
            .find(|(block, bytes)| !tree.matches(*block, bytes));
        phase.advance(bytes as u64);
        wrong.map_or(Ok(()), |(block, _)| {
            Err(PreviousError::Damaged {
                of: of.to_owned(),
                block,
            })
        })
    };
    let firsts: Vec<u64> = (0..blocks).step_by(usize::from(PIECE_BLOCKS)).collect();
    firsts.into_par_iter().try_for_each(check)
}
