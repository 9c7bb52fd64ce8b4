//! The partitions of an Outcrop disk: their numbers, labels and type GUIDs.
//!
//! Types follow the UAPI Discoverable Partitions Specification, so that tools of the field can read an image. The data
//! partition has the generic Linux type: the specification ties `var` to one machine-id, which an image can't know.

use uuid::{Uuid, uuid};

use crate::{arch::Architecture, slot::Slot};

/// Type GUID of the EFI system partition.
pub const ESP_TYPE: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Type GUID of the boot record's partition: Outcrop's own, so that nothing else claims it.
pub const BOOT_RECORD_TYPE: Uuid = uuid!("7d1b0c2e-52f0-4d0a-9f0e-6f7574637270");
/// Type GUID of the data partition (generic Linux data).
pub const DATA_TYPE: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
/// GPT attribute bit 63, "no-auto": the partition isn't mounted by discovery.
/// Source: UAPI Discoverable Partitions Specification, "Partition Attribute Flags".
pub const NO_AUTO_FLAG: u64 = 1 << 63;

/// What one partition of the disk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// FAT32 with the boot loader and both slots' boot payloads.
    Esp,
    /// Two copies of the boot record.
    BootRecord,
    /// EROFS of a slot.
    Root(Slot),
    /// Verity superblock and hash tree of a slot's root.
    Verity(Slot),
    /// ext4, mounted on `/var`.
    Data,
}

impl Partition {
    /// All partitions of board `efi`, in the order of their numbers and of their place on the disk.
    pub const ALL: [Self; 7] = [
        Self::Esp,
        Self::BootRecord,
        Self::Root(Slot::A),
        Self::Verity(Slot::A),
        Self::Root(Slot::B),
        Self::Verity(Slot::B),
        Self::Data,
    ];

    /// Number in the partition table, from 1. 3 and 4 belong to the Raspberry Pi's boot partitions.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Esp => 1,
            Self::BootRecord => 2,
            Self::Root(Slot::A) => 5,
            Self::Verity(Slot::A) => 6,
            Self::Root(Slot::B) => 7,
            Self::Verity(Slot::B) => 8,
            Self::Data => 9,
        }
    }

    /// GPT label, and so the name below `/dev/disk/by-partlabel`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Esp => "outcrop-esp",
            Self::BootRecord => "outcrop-bootrec",
            Self::Root(Slot::A) => "outcrop-root-a",
            Self::Verity(Slot::A) => "outcrop-verity-a",
            Self::Root(Slot::B) => "outcrop-root-b",
            Self::Verity(Slot::B) => "outcrop-verity-b",
            Self::Data => "outcrop-data",
        }
    }

    /// GPT type GUID.
    #[must_use]
    pub const fn type_guid(self, arch: Architecture) -> Uuid {
        match self {
            Self::Esp => ESP_TYPE,
            Self::BootRecord => BOOT_RECORD_TYPE,
            Self::Root(_) => arch.root_type(),
            Self::Verity(_) => arch.verity_type(),
            Self::Data => DATA_TYPE,
        }
    }

    /// The partition with `label`, if it is one of ours.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|partition| partition.label() == label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_numbers_are_unique_and_found_again() {
        for partition in Partition::ALL {
            assert_eq!(Partition::from_label(partition.label()), Some(partition));
        }
        assert!(Partition::ALL.is_sorted_by(|a, b| a.number() < b.number()));
    }
}
