//! The disk as an installation uses it: areas that are read, written and flushed.

use std::{fmt, io};

use outcrop_release::{bootrec::Payload, slot::Slot};

use crate::boot_partition::{self, BootPartitionError};

/// A part of the disk that releases and the boot record lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// Both copies of the boot record.
    BootRecord,
    /// The boot loader's configuration, one sector: which slot it starts by itself.
    LoaderConfig,
    /// A slot's boot payload: a preallocated file on partition 1, or a partition.
    Boot(Slot),
    /// A slot's root file system.
    Root(Slot),
    /// A slot's verity superblock and tree.
    Verity(Slot),
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BootRecord => f.write_str("the boot record"),
            Self::LoaderConfig => f.write_str("the boot loader's configuration"),
            Self::Boot(slot) => write!(f, "the boot payload of slot {slot}"),
            Self::Root(slot) => write!(f, "the root file system of slot {slot}"),
            Self::Verity(slot) => write!(f, "the hash tree of slot {slot}"),
        }
    }
}

/// A part of the disk failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {area} at byte {at}")]
pub struct DiskError {
    /// What was being done: `read`, `write`, `flush`.
    pub doing: &'static str,
    /// Where.
    pub area: Area,
    /// First byte, from the area's start.
    pub at: u64,
    /// Why.
    pub source: io::Error,
}

/// A disk. What was written is on the medium for sure only after [`Disk::flush`]; before that, a power cut may leave any of
/// it, in any order, and sectors torn.
pub trait Disk {
    /// Length of an area, in bytes.
    fn bytes(&self, area: Area) -> u64;

    /// Sums of kernel and initramfs in a slot's boot partition, from the medium; none where the boot payload is one file of partition 1.
    ///
    /// # Errors
    /// When the partition can't be read, or lacks a file.
    fn boot_parts(&self, slot: Slot) -> Result<Option<Payload>, BootPartitionError>
    where
        Self: Sized,
    {
        boot_partition::payload(self, slot)
    }

    /// Fills `buffer` from byte `at` on. What was written before is seen, flushed or not.
    ///
    /// # Errors
    /// When the disk can't be read there.
    fn read(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError>;

    /// Fills `buffer` as [`Disk::read`] does, for whoever reads a little here and there: nothing is read along with it.
    ///
    /// # Errors
    /// As [`Disk::read`].
    fn read_scattered(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.read(area, at, buffer)
    }

    /// Fills `buffer` from the medium itself, past every cache. Both `at` and the length are multiples of 4096, or a
    /// sector's for the boot record and the boot loader's configuration.
    ///
    /// # Errors
    /// When the disk can't be read there.
    fn read_medium(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError>;

    /// Writes `bytes` from byte `at` on.
    ///
    /// # Errors
    /// When the disk can't be written there.
    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Brings what was written to an area to the medium.
    ///
    /// # Errors
    /// When that fails; then nothing is known of what was written since the last flush.
    fn flush(&mut self, area: Area) -> Result<(), DiskError>;
}
