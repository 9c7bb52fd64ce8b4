//! EROFS without compression: planner, writer and reader.
//!
//! [`Plan::new`] decides every address from a [`crate::tree::Tree`] alone, [`Plan::after`] from an older image, too. [`Plan::write`] writes the image from its
//! first byte to its last, [`Reader`] reads images, own or foreign, and trusts none.
//!
//! An image is, in this order: one block with the superblock; the metadata area; the blocks of large folders; file
//! contents in the order of their paths. The metadata area holds the inodes of folders with their entries, then the
//! inodes of files whose contents are in blocks, then the small files and links, each with its bytes behind its inode.
//! Contents always begin at a block, and a block never holds bytes of two such files, so a file that stays the same
//! keeps its blocks' bytes wherever it moves: an update fetches only what changed. Small files share blocks; their
//! inodes hold no address, so these blocks too keep their bytes unless a file among them changes.
//!
//! [`Plan::after`] gives that order up for another aim: what an older image has stays where it is there, block by block
//! and inode by inode, and the rest goes into holes.
//!
//! Format: documentation of EROFS at kernel.org ("Core On-disk Format") and `fs/erofs/erofs_fs.h` of Linux.

mod crc32c;
mod directory;
mod error;
mod fields;
mod inode;
mod plan;
mod previous;
mod reader;
mod superblock;
mod write;
mod xattr;

pub use error::ErofsError;
pub use inode::FileType;
pub use plan::{LayoutReport, Options, Plan};
pub use previous::{Previous, PreviousError};
pub use reader::{Entry, Extent, Fault, FileReader, Node, ReadError, Reader, Walk};
pub use superblock::{BLOCK_BYTES, Superblock};
pub use xattr::XattrError;

#[cfg(test)]
mod tests;
