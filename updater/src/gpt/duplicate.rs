//! The table of another disk that gets what this disk holds: the same partitions, the last one up to its end, and names of its own.

use outcrop_release::{partition::Partition as Role, slot::Slot, units::Extent};
use uuid::Uuid;

use super::{
    grow::{ALIGNMENT_BYTES, GrowError, Place, Step, data_partition, set_last_sector},
    header::{ENTRY_BYTES, Header},
    read::{PartitionTable, Shape},
};

/// Length of the master boot record, in bytes.
pub const MBR_BYTES: usize = 512;
/// Where an entry has its own GUID, in bytes.
const GUID_AT: usize = 16;
/// Where the table of the master boot record says how many sectors the protective partition covers, in bytes.
const PROTECTED_AT: usize = 446 + 12;

/// A table for another disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The data partition there, in bytes.
    pub data: Extent,
    /// What goes to the disk's end, before anything makes it a disk.
    pub backup: Vec<Step>,
    /// What makes it a disk, last of all.
    pub primary: Vec<Step>,
}

/// Plans the table for a disk of `shape`. `mbr` is this disk's first 512 bytes, and `random` makes a name.
///
/// # Errors
/// When something lies behind the data partition, or the disk is too small.
pub fn duplicate(
    table: &PartitionTable,
    mbr: &[u8; MBR_BYTES],
    shape: Shape,
    mut random: impl FnMut() -> Uuid,
) -> Result<Duplicate, GrowError> {
    let data = data_partition(table)?;
    let place = Place::of(table, shape)?;
    let sector = u64::from(shape.sector_bytes);
    let aligned = ALIGNMENT_BYTES.checked_div(sector).ok_or(GrowError::Form)?;
    let end = (place.last_usable + 1)
        .checked_div(aligned)
        .ok_or(GrowError::Form)?
        * aligned;
    let last = data.last.max(end.saturating_sub(1));
    let mut entries = table.entries.clone();
    set_last_sector(&mut entries, data.number, last).ok_or(GrowError::Form)?;
    let (each, _) = entries.as_chunks_mut::<{ ENTRY_BYTES as usize }>();
    for partition in &table.partitions {
        let index = usize::try_from(partition.number - 1).map_err(|_| GrowError::Form)?;
        let guid = each
            .get_mut(index)
            .and_then(|entry| entry.get_mut(GUID_AT..GUID_AT + 16));
        guid.ok_or(GrowError::Form)?
            .copy_from_slice(&random().to_bytes_le());
    }
    let header = Header {
        disk_guid: random(),
        ..table.header.clone()
    };
    let mut mbr = mbr.to_vec();
    // Board `rpi` has a hybrid one, which says nothing of the disk's length.
    if table.with_label(Role::Boot(Slot::A).label()).is_none()
        && let Some(field) = mbr.get_mut(PROTECTED_AT..PROTECTED_AT + 4)
    {
        field.copy_from_slice(&u32::try_from(place.last_sector).unwrap_or(u32::MAX).to_le_bytes());
    }
    let mut primary = vec![Step::Write {
        offset: 0,
        bytes: mbr,
    }];
    primary.extend(place.primary(&header, &entries));
    Ok(Duplicate {
        data: Extent {
            start: data.first * sector,
            len: (last + 1 - data.first) * sector,
        },
        backup: place.backup(&header, &entries).to_vec(),
        primary,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpt::{read::tests::disk_of, read_partition_table};

    #[test]
    fn the_other_disk_has_the_same_partitions_other_names_and_all_its_room_in_the_last() {
        let sector = |mib: u64| mib * 2048;
        let disk = disk_of(
            sector(64),
            &[
                (1, "outcrop-esp", sector(1), sector(2) - 1),
                (9, "outcrop-data", sector(2), sector(62) - 1),
            ],
        );
        let read = |bytes: &[u8]| {
            let shape = Shape {
                sector_bytes: 512,
                bytes: bytes.len() as u64,
            };
            let mut at = |offset: u64, buffer: &mut [u8]| {
                let start = usize::try_from(offset).unwrap();
                buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
                Ok(())
            };
            read_partition_table(&mut at, shape).unwrap()
        };
        let table = read(&disk);
        let mut other = vec![0xa5; usize::try_from(sector(200)).unwrap() * 512];
        let shape = Shape {
            sector_bytes: 512,
            bytes: other.len() as u64,
        };
        let mut count = 100;
        let random = || {
            count += 1;
            Uuid::from_u128(count)
        };
        let made = duplicate(&table, disk.first_chunk().unwrap(), shape, random).unwrap();
        for step in made.backup.iter().chain(&made.primary) {
            if let Step::Write { offset, bytes } = step {
                let at = usize::try_from(*offset).unwrap();
                other[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
        let found = read(&other);
        assert_eq!(found.disk_guid, Uuid::from_u128(103));
        let data = found.with_label("outcrop-data").unwrap();
        assert_eq!((data.first, data.last), (sector(2), sector(199) - 1));
        assert_eq!((made.data.start, made.data.len), (2 << 20, 197 << 20));
        assert!(found.partitions.iter().all(|entry| entry.guid.as_u128() > 100));
        assert_eq!(other[450], 0xee);
        assert_eq!(
            other[458..462],
            u32::try_from(sector(200) - 1).unwrap().to_le_bytes()
        );
        let small = Shape {
            bytes: 40 << 20,
            ..shape
        };
        let refused = duplicate(&table, disk.first_chunk().unwrap(), small, Uuid::nil);
        assert_eq!(refused, Err(GrowError::Form));
    }
}
