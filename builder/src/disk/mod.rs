//! The disk image: partition table, FAT of partition 1, verity trees, data file system, and the block map beside it.

pub mod assemble;
pub mod error;
pub mod ext4;
pub mod gpt;
pub mod identity;
pub mod image;
pub mod layout;
pub mod read;
pub mod units;

pub use ext4::check_tools;
