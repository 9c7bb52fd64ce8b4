//! Where each partition lies.

use outcrop_release::{
    arch::Architecture,
    board::Board,
    partition::Partition,
    slot::Slot,
    verity::{BLOCK_BYTES, Geometry},
};

use super::{
    error::DiskError,
    units::{Extent, MIB, Mib},
};
use crate::recipe::schema::Disk;

/// How full a slot may be, in per cent: later releases need room to grow, and slots can't.
pub const FULL_PERCENT: u64 = 85;
/// Two copies of the boot record, 4 MiB apart, and as much again behind the second: never one flash page.
const BOOT_RECORD_BYTES: u64 = 8 * MIB;
/// Least length of partition 1: FAT32 as edk2's driver takes it. With clusters of 4 KiB a folder of one cluster holds all that lies there.
const ESP_LEAST: u64 = 260 * MIB;
/// Room in partition 1 beside the slots: boot loader, `device.toml`, and what an administrator puts there.
const ESP_EXTRA: u64 = 64 * MIB;
/// GPT at either end of the image, rounded up to the alignment.
const TABLE_BYTES: u64 = MIB;

/// Order of the partitions on the disk. The slots come first, so that an image can be written, and hashed, from
/// start to end: the boot payload names the root hash, and so is made later. Data comes last, since it grows.
const ORDER: [Partition; 9] = [
    Partition::Root(Slot::A),
    Partition::Verity(Slot::A),
    Partition::Root(Slot::B),
    Partition::Verity(Slot::B),
    Partition::Boot(Slot::A),
    Partition::Boot(Slot::B),
    Partition::Esp,
    Partition::BootRecord,
    Partition::Data,
];

/// The partitions of an image, and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    architecture: Architecture,
    board: Board,
    boot_slot: u64,
    partitions: Vec<(Partition, Extent)>,
    len: u64,
}

impl Layout {
    /// Lays out a disk with the recipe's sizes.
    ///
    /// # Errors
    /// When a size is no multiple of 1 MiB, or out of its range.
    pub fn plan(disk: &Disk, architecture: Architecture, board: Board) -> Result<Self, DiskError> {
        check_size("root-slot", disk.root_slot, 16 * MIB, 1 << 40)?;
        let least_boot = match board {
            Board::Efi => 8 * MIB,
            // A FAT32 of its own.
            Board::Rpi => 66 * MIB,
        };
        check_size("boot-slot", disk.boot_slot, least_boot, 1024 * MIB)?;
        check_size("data", disk.data, 128 * MIB, 1 << 40)?;
        let mut next = TABLE_BYTES;
        let has = |partition: &Partition| Partition::of(board).any(|other| other == *partition);
        let place = |partition: Partition| {
            let extent = Extent {
                start: next,
                len: length(partition, disk, board),
            };
            next = extent.end();
            (partition, extent)
        };
        let partitions = ORDER.into_iter().filter(has).map(place).collect();
        Ok(Self {
            architecture,
            board,
            boot_slot: disk.boot_slot,
            partitions,
            len: next + TABLE_BYTES,
        })
    }

    /// Length of the image, in bytes.
    #[must_use]
    pub const fn image_bytes(&self) -> u64 {
        self.len
    }

    /// Length of the place for one boot payload, in bytes.
    #[must_use]
    pub const fn boot_slot_bytes(&self) -> u64 {
        self.boot_slot
    }

    /// What the image runs on.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// What starts it.
    #[must_use]
    pub const fn board(&self) -> Board {
        self.board
    }

    /// The partitions, in the order of their place on the disk.
    #[must_use]
    pub fn partitions(&self) -> &[(Partition, Extent)] {
        &self.partitions
    }

    /// Where `partition` lies.
    #[must_use]
    pub fn extent(&self, partition: Partition) -> Extent {
        let found = self
            .partitions
            .iter()
            .find(|(candidate, _)| *candidate == partition);
        found.map_or(Extent { start: 0, len: 0 }, |(_, extent)| *extent)
    }

    /// Whether a root file system of `bytes` bytes leaves its slot enough room.
    ///
    /// # Errors
    /// [`DiskError::Headroom`] when it fills more than [`FULL_PERCENT`] of the slot.
    pub fn check_root(&self, bytes: u64) -> Result<(), DiskError> {
        check_headroom(
            "root file system",
            "root-slot",
            bytes,
            self.extent(Partition::Root(Slot::A)).len,
        )
    }

    /// Whether a boot payload of `bytes` bytes leaves its slot enough room.
    ///
    /// # Errors
    /// [`DiskError::Headroom`] when it fills more than [`FULL_PERCENT`] of the slot.
    pub fn check_boot(&self, bytes: u64) -> Result<(), DiskError> {
        check_headroom("boot payload", "boot-slot", bytes, self.boot_slot)
    }
}

/// Length of a partition, in bytes: a multiple of 1 MiB.
fn length(partition: Partition, disk: &Disk, board: Board) -> u64 {
    match partition {
        Partition::Esp => match board {
            Board::Efi => ESP_LEAST.max(2 * disk.boot_slot + ESP_EXTRA),
            Board::Rpi => ESP_LEAST,
        },
        Partition::Boot(_) => disk.boot_slot,
        Partition::BootRecord => BOOT_RECORD_BYTES,
        Partition::Root(_) => disk.root_slot,
        Partition::Verity(_) => verity_bytes(disk.root_slot).next_multiple_of(MIB),
        Partition::Data => disk.data,
    }
}

/// What the tree over a full root slot takes. The slot's length is checked: it has a tree.
fn verity_bytes(root_slot: u64) -> u64 {
    Geometry::new(root_slot / BLOCK_BYTES as u64).map_or(0, Geometry::partition_bytes)
}

fn check_size(key: &'static str, bytes: u64, least: u64, most: u64) -> Result<(), DiskError> {
    if bytes.is_multiple_of(MIB) && (least..=most).contains(&bytes) {
        Ok(())
    } else {
        Err(DiskError::Size {
            key,
            bytes,
            least: Mib(least),
            most: Mib(most),
        })
    }
}

fn check_headroom(what: &'static str, key: &'static str, bytes: u64, slot: u64) -> Result<(), DiskError> {
    let enough = (u128::from(bytes) * 100).div_ceil(u128::from(FULL_PERCENT));
    if enough <= u128::from(slot) {
        return Ok(());
    }
    let enough = Mib(u64::try_from(enough).unwrap_or(u64::MAX));
    Err(DiskError::Headroom {
        what,
        key,
        bytes,
        slot: Mib(slot),
        percent: FULL_PERCENT,
        enough,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DISK: Disk = Disk {
        root_slot: 768 * MIB,
        boot_slot: 64 * MIB,
        data: 128 * MIB,
    };

    fn plan(disk: &Disk) -> Result<Layout, DiskError> {
        Layout::plan(disk, Architecture::X86_64, Board::Efi)
    }

    #[test]
    fn a_slot_may_be_85_percent_full_and_not_a_byte_more() {
        let layout = plan(&Disk {
            root_slot: 100 * MIB,
            ..DISK
        })
        .unwrap();
        layout.check_root(85 * MIB).unwrap();
        let error = layout.check_root(85 * MIB + 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the root file system has 89128961 bytes: more than 85 % of disk.root-slot (100MiB)"
        );
        assert!(matches!(error, DiskError::Headroom { enough, .. } if enough.to_string() == "101MiB"));
        layout.check_boot(54 * MIB).unwrap();
        assert!(matches!(
            layout.check_boot(55 * MIB),
            Err(DiskError::Headroom { key: "boot-slot", .. })
        ));
        assert!(layout.check_root(u64::MAX).is_err());
    }

    #[test]
    fn sizes_off_the_alignment_or_out_of_range_are_refused_with_their_key() {
        for (disk, wrong) in [
            (
                Disk {
                    root_slot: 768 * MIB + 1,
                    ..DISK
                },
                "root-slot",
            ),
            (Disk { root_slot: 0, ..DISK }, "root-slot"),
            (
                Disk {
                    boot_slot: 4096 * MIB,
                    ..DISK
                },
                "boot-slot",
            ),
            (
                Disk {
                    data: u64::MAX / MIB * MIB,
                    ..DISK
                },
                "data",
            ),
        ] {
            assert!(
                matches!(plan(&disk), Err(DiskError::Size { key, .. }) if key == wrong),
                "{disk:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn partitions_are_aligned_follow_each_other_and_leave_room_for_both_tables(
            root in 16_u64..5000,
            boot in 8_u64..300,
            data in 128_u64..4000,
        ) {
            let disk = Disk { root_slot: root * MIB, boot_slot: boot * MIB, data: data * MIB };
            let layout = plan(&disk).unwrap();
            let mut end = MIB;
            for (partition, extent) in layout.partitions() {
                prop_assert_eq!(extent.start, end, "{:?}", partition);
                prop_assert!(extent.len > 0 && extent.len % MIB == 0);
                prop_assert_eq!(layout.extent(*partition), *extent);
                end = extent.end();
            }
            prop_assert_eq!(layout.image_bytes(), end + MIB);
            let tree = Geometry::new(disk.root_slot / 4096).unwrap().partition_bytes();
            prop_assert!(layout.extent(Partition::Verity(Slot::B)).len >= tree);
            prop_assert!(layout.extent(Partition::Esp).len >= 2 * disk.boot_slot + ESP_EXTRA);
        }
    }
}
