//! dm-verity: the hash tree over a root file system, as `veritysetup` writes it.
//!
//! A verity partition holds the [`Superblock`] in its first block and the tree from block 1 on, the top block first and
//! the leaves last. A leaf is the salted SHA-256 of one data block; a block of any level above holds the salted SHA-256 of
//! 128 blocks of the level below. The [root hash](crate::digest::RootHash) is that of the top block.
//!
//! Source: Linux, `Documentation/admin-guide/device-mapper/verity.rst`; cryptsetup wiki, "DMVerity" (on-disk format).

mod descent;
mod geometry;
mod hash;
mod stream;
mod superblock;
mod table;
mod tree;

pub use descent::{Descent, WantedBlock};
pub use geometry::{BLOCK_BYTES, Geometry, GeometryError, HASH_BYTES, HASHES_PER_BLOCK, TOP_BLOCK_OFFSET};
pub use hash::{BlockHash, Salt, SaltError, hash_block, root_hash_of_top_block};
pub use stream::{TreeBlock, TreeVerifier};
pub use superblock::{SUPERBLOCK_BYTES, Superblock, SuperblockError};
pub use table::{dm_sectors, dm_table};
pub use tree::{HashTree, TreeBuilder, TreeError};
