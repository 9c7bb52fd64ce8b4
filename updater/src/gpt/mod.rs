//! GUID partition tables: reading any disk's, strictly, growing the data partition of ours, and making another disk's.
//!
//! Source: UEFI specification 2.10, section 5.3.

mod duplicate;
mod grow;
mod header;
mod read;

pub use duplicate::{Duplicate, MBR_BYTES, duplicate};
pub use grow::{GrowError, Step, needs_growth, plan_growth};
pub use read::{Copy, GptError, Partition, PartitionTable, ReadAt, Shape, read_partition_table};

#[cfg(test)]
pub(crate) use read::tests::{disk_of, disk_with, test_table};
