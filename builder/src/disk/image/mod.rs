//! The image file: written from start to end, hashed on the way, with a block map of what matters in it.

mod block_map;
mod block_map_read;
mod hashing;
mod stream;

pub use block_map::{BLOCK_BYTES, BlockMap, MappedRange};
pub use block_map_read::BlockMapError;
pub(super) use stream::{ImageStream, Written};
