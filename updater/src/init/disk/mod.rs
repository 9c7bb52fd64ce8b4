//! Disks: which there are, what their partition tables say, and which one the firmware booted from.

mod choose;
mod location;
mod sysfs;

use std::io;

use outcrop_release::{board::Board, partition::Partition, slot::Slot};
use uuid::Uuid;

use crate::chain;
use crate::gpt::{PartitionTable, Shape, read_partition_table};

pub use choose::{Certainty, Choice, Refusal, Waited, choose};
pub use location::{Location, Verdict};
pub use sysfs::SysBlock;

/// A disk as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Kernel name: `nvme0n1`.
    pub name: String,
    /// Its sizes.
    pub shape: Shape,
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

/// What a look at all disks finds.
#[derive(Debug, Default)]
pub struct Survey {
    /// Disks that have Outcrop's partitions, each with its table.
    pub ours: Vec<OutcropDisk>,
    /// The other disks, each with the reason why it isn't one.
    pub others: Vec<String>,
}

/// Looks at all disks.
///
/// # Errors
/// When the kernel's list of disks can't be read.
pub fn survey(disks: &dyn Disks) -> io::Result<Survey> {
    let mut survey = Survey::default();
    for disk in disks.list()? {
        let name = disk.name.clone();
        match look_at(disks, disk) {
            Ok(disk) => survey.ours.push(disk),
            Err(reason) => survey.others.push(format!("{name}: {reason}")),
        }
    }
    Ok(survey)
}

/// The disk with its table, if it has all of Outcrop's partitions (but the data's: without that one the device comes up
/// degraded) and the kernel shows them.
fn look_at(disks: &dyn Disks, disk: Disk) -> Result<OutcropDisk, String> {
    let mut read = |offset, buffer: &mut [u8]| disks.read_at(&disk.name, offset, buffer);
    let table = read_partition_table(&mut read, disk.shape).map_err(|error| chain::describe(&error))?;
    let disk = OutcropDisk { disk, table };
    let board = match disk.table.with_label(Partition::Boot(Slot::A).label()) {
        Some(_) => Board::Rpi,
        None => Board::Efi,
    };
    let needed = Partition::of(board).filter(|partition| *partition != Partition::Data);
    let missing = needed.filter(|partition| disk.device(*partition).is_none());
    match missing.map(Partition::label).collect::<Vec<_>>().as_slice() {
        [] => Ok(disk),
        labels => Err(format!("no partition {}", labels.join(", "))),
    }
}
