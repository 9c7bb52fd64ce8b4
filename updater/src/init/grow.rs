//! Whether the disk goes on after the data partition: an image that was written to a larger disk as it is.

use outcrop_release::partition::Partition;

use super::disk::OutcropDisk;

/// Less than this isn't worth a change of the partition table: it is lost to alignment and the backup table anyway.
const WORTHWHILE_BYTES: u64 = 8 << 20;

/// Whether the data partition ends well before the disk does, and nothing lies behind it.
#[must_use]
pub fn can_grow(disk: &OutcropDisk) -> bool {
    let Some(data) = disk.table.with_label(Partition::Data.label()) else {
        return false;
    };
    let is_last = disk.table.partitions.iter().all(|entry| entry.last <= data.last);
    let sector = u64::from(disk.disk.sector_bytes);
    let end = data.last.saturating_add(1).saturating_mul(sector);
    is_last && disk.disk.bytes.saturating_sub(end) >= WORTHWHILE_BYTES
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::init::disk::{Disk, GptPartition, Location, PartitionTable};

    fn disk(bytes: u64, partitions: &[(&str, u64)]) -> OutcropDisk {
        let entry = |(number, (label, last)): (u32, &(&str, u64))| GptPartition {
            number,
            guid: Uuid::nil(),
            first: 0,
            last: *last,
            label: (*label).to_owned(),
        };
        OutcropDisk {
            disk: Disk {
                name: "vda".to_owned(),
                sector_bytes: 4096,
                bytes,
                location: Location::default(),
                partitions: vec![],
            },
            table: PartitionTable {
                disk_guid: Uuid::nil(),
                partitions: (1..).zip(partitions).map(entry).collect(),
            },
        }
    }

    #[test]
    fn an_image_on_a_larger_disk_can_grow_and_a_full_disk_cant() {
        let data = [("outcrop-esp", 100), ("outcrop-data", 1023)];
        let end = 1024 * 4096;
        assert!(can_grow(&disk(end + WORTHWHILE_BYTES, &data)));
        assert!(!can_grow(&disk(end + WORTHWHILE_BYTES - 1, &data)));
        assert!(
            !can_grow(&disk(end - 4096, &data)),
            "a table that claims more than the disk has"
        );
    }

    #[test]
    fn a_partition_behind_the_data_is_never_pushed_aside() {
        let disk = disk(1 << 40, &[("outcrop-data", 1023), ("foreign", 2000)]);
        assert!(!can_grow(&disk));
    }

    #[test]
    fn without_a_data_partition_there_is_nothing_to_grow() {
        assert!(!can_grow(&disk(1 << 40, &[("outcrop-esp", 100)])));
    }

    #[test]
    fn absurd_numbers_do_no_harm() {
        assert!(!can_grow(&disk(1 << 40, &[("outcrop-data", u64::MAX)])));
    }
}
