//! Disks: which there are, what their partition tables say, and which one the firmware booted from.

mod choose;
mod gpt;
mod location;
mod sysfs;

use std::io;

use outcrop_release::partition::Partition;
use uuid::Uuid;

pub use choose::{Certainty, Choice, Refusal, Waited, choose};
pub use gpt::{GptError, GptPartition, PartitionTable, read_partition_table};
pub use location::{Location, Verdict};
pub use sysfs::SysBlock;

#[cfg(test)]
pub(crate) use gpt::tests::disk_with as test_table;

/// A disk as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Kernel name: `nvme0n1`.
    pub name: String,
    /// Length of a logical sector, in bytes.
    pub sector_bytes: u32,
    /// Length of the disk, in bytes.
    pub bytes: u64,
    /// Where it is plugged in.
    pub location: Location,
    /// Kernel names of its partitions with their numbers.
    pub partitions: Vec<(u32, String)>,
}

/// A disk that has Outcrop's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcropDisk {
    /// The disk.
    pub disk: Disk,
    /// Its partition table.
    pub table: PartitionTable,
}

impl OutcropDisk {
    /// Kernel name of `partition`, found by label, once the kernel shows it.
    #[must_use]
    pub fn device(&self, partition: Partition) -> Option<&str> {
        let entry = self.table.with_label(partition.label())?;
        let (_, name) = self
            .disk
            .partitions
            .iter()
            .find(|(number, _)| *number == entry.number)?;
        Some(name)
    }

    /// Whether the table has a partition with `guid`.
    #[must_use]
    pub fn has_partition(&self, guid: Uuid) -> bool {
        self.table.partitions.iter().any(|entry| entry.guid == guid)
    }
}

/// Where disks come from.
pub trait Disks {
    /// All disks that have a size now.
    ///
    /// # Errors
    /// When the kernel's list can't be read.
    fn list(&self) -> io::Result<Vec<Disk>>;

    /// Reads `buffer.len()` bytes at `offset` of the block device with kernel name `device`.
    ///
    /// # Errors
    /// The device's; a read past its end is one.
    fn read_at(&self, device: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// The disks that have Outcrop's partitions, each with its table; others, and those that can't be read, are passed over.
///
/// # Errors
/// When the kernel's list of disks can't be read.
pub fn find_outcrop_disks(disks: &dyn Disks) -> io::Result<Vec<OutcropDisk>> {
    let found = disks.list()?.into_iter().filter_map(|disk| {
        let mut read = |offset, buffer: &mut [u8]| disks.read_at(&disk.name, offset, buffer);
        let table = read_partition_table(&mut read, disk.sector_bytes, disk.bytes).ok()?;
        let ours = Partition::ALL
            .into_iter()
            .filter(|partition| *partition != Partition::Data);
        let complete = ours
            .map(Partition::label)
            .all(|label| table.with_label(label).is_some());
        complete.then_some(OutcropDisk { disk, table })
    });
    Ok(found.collect())
}
