//! What a survey asks: the bundle, both slots, and the place where the new trees are kept.

use std::ops::Range;

use crate::{
    bundle::PayloadName,
    plan::ByteRange,
    verity::{BLOCK_BYTES, BlockHash, Superblock},
};

/// A block of data or of a tree.
pub type Block = [u8; BLOCK_BYTES];

/// One of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The slot that runs, and is copied from.
    Running,
    /// The slot that is written to.
    Other,
}

/// Takes a part of the bundle: its place among those that were asked for, and its bytes.
pub type TakePart<'a, E> = &'a mut dyn FnMut(usize, &[u8]) -> Result<(), E>;

/// The release that shall be installed.
pub trait Bundle<E> {
    /// Hands over parts of it, each whole, in order. They are ascending and small: no longer than a page of the index.
    ///
    /// # Errors
    /// When they can't be had, or `take` fails.
    fn fetch(&mut self, ranges: &[ByteRange], take: TakePart<'_, E>) -> Result<(), E>;
}

/// What both slots hold. All of it are hints: what is used is compared with the new release's trees.
pub trait Slots<E> {
    /// Hashes of the first `blocks` blocks of a slot's boot payload; zeros for one that can't be read.
    ///
    /// # Errors
    /// When it shall stop.
    fn boot_hashes(&self, side: Side, blocks: u64) -> Result<Vec<BlockHash>, E>;

    /// Superblock of a slot's root, when it has one that fits, and a root.
    ///
    /// # Errors
    /// When it shall stop.
    fn root_superblock(&self, side: Side) -> Result<Option<Superblock>, E>;

    /// A block of the tree of a slot's root; none when it can't be read.
    ///
    /// # Errors
    /// When it shall stop.
    fn root_tree_block(&self, side: Side, number: u64) -> Result<Option<Block>, E>;

    /// Hands over number and hash of the root's blocks in the slot that is written to, in any order; those that can't be read are
    /// left out.
    ///
    /// # Errors
    /// When it shall stop, or `take` fails.
    fn root_hashes(
        &self,
        runs: &[Range<u64>],
        take: &mut dyn FnMut(u64, BlockHash) -> Result<(), E>,
    ) -> Result<(), E>;
}

/// Where the new release's trees are kept, block by block as in a verity partition. The superblock's isn't.
pub trait TreeStore<E> {
    /// Keeps a block, which was proven.
    ///
    /// # Errors
    /// When there is no room.
    fn keep(&mut self, payload: PayloadName, number: u64, block: &Block) -> Result<(), E>;

    /// A block that was kept.
    ///
    /// # Errors
    /// When it can't be read.
    fn kept(&self, payload: PayloadName, number: u64) -> Result<Block, E>;
}
