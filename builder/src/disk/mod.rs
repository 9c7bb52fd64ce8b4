//! The disk image: partition table, FAT of partition 1, verity trees, data file system, and the block map beside it.

pub mod error;
pub mod gpt;
pub mod identity;
pub mod layout;
pub mod units;
