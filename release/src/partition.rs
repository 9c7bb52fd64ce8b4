//! The partitions of an Outcrop disk: their numbers, labels and type GUIDs.
//!
//! Types follow the UAPI Discoverable Partitions Specification, so that tools of the field can read an image. The data
//! partition has the generic Linux type: the specification ties `var` to one machine-id, which an image can't know.

use uuid::{Uuid, uuid};

use crate::{arch::Architecture, board::Board, slot::Slot};

/// Type GUID of the EFI system partition.
pub const ESP_TYPE: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Type GUID of the boot record's partition: Outcrop's own, so that nothing else claims it.
pub const BOOT_RECORD_TYPE: Uuid = uuid!("7d1b0c2e-52f0-4d0a-9f0e-6f7574637270");
/// Type GUID of a slot's boot partition: Outcrop's own. An EFI system partition's, or a boot flag, would have U-Boot look for its script
/// there instead of on partition 1.
pub const BOOT_TYPE: Uuid = uuid!("7d1b0c2e-52f0-4d0a-9f0e-6f7574626f74");
/// Type GUID of the data partition (generic Linux data).
pub const DATA_TYPE: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
/// GPT attribute bit 63, "no-auto": the partition isn't mounted by discovery.
/// Source: UAPI Discoverable Partitions Specification, "Partition Attribute Flags".
pub const NO_AUTO_FLAG: u64 = 1 << 63;

/// What one partition of the disk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// FAT32 with the boot loader; on board `efi` with both slots' boot payloads too.
    Esp,
    /// Two copies of the boot record.
    BootRecord,
    /// FAT32 with a slot's boot payload: kernel, initramfs, device trees. Board `rpi` only.
    Boot(Slot),
    /// EROFS of a slot.
    Root(Slot),
    /// Verity superblock and hash tree of a slot's root.
    Verity(Slot),
    /// ext4, mounted on `/var`.
    Data,
}

impl Partition {
    /// All that there are, in the order of their numbers.
    const ALL: [Self; 9] = [
        Self::Esp,
        Self::BootRecord,
        Self::Boot(Slot::A),
        Self::Boot(Slot::B),
        Self::Root(Slot::A),
        Self::Verity(Slot::A),
        Self::Root(Slot::B),
        Self::Verity(Slot::B),
        Self::Data,
    ];

    /// The partitions of a board, in the order of their numbers.
    pub fn of(board: Board) -> impl Iterator<Item = Self> + Clone {
        Self::ALL
            .into_iter()
            .filter(move |partition| board == Board::Rpi || !matches!(partition, Self::Boot(_)))
    }

    /// Number in the partition table, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Esp => 1,
            Self::BootRecord => 2,
            Self::Boot(Slot::A) => 3,
            Self::Boot(Slot::B) => 4,
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
            Self::Boot(Slot::A) => "outcrop-boot-a",
            Self::Boot(Slot::B) => "outcrop-boot-b",
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
            Self::Boot(_) => BOOT_TYPE,
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
        let of = |board| Partition::of(board).map(Partition::number).collect::<Vec<_>>();
        assert_eq!(of(Board::Efi), [1, 2, 5, 6, 7, 8, 9]);
        assert_eq!(of(Board::Rpi), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
