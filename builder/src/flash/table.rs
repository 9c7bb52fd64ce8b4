//! The partition table of one medium, made of the image's.

use outcrop_release::partition::Partition;
use uuid::Uuid;

use crate::disk::{
    gpt::Gpt,
    units::{MIB, SECTOR},
};

/// Room for the backup table at the medium's end, in sectors: entries and header.
const BACKUP_SECTORS: u64 = 33;

/// `image`'s table for a medium of `bytes` bytes: the data partition reaches its end, and the disk and every partition have names of their
/// own, from `random`. None when the medium is too small, or the data partition isn't the last one.
pub(super) fn personal(image: &Gpt, bytes: u64, mut random: impl FnMut() -> Uuid) -> Option<Gpt> {
    let mut table = image.clone();
    table.sectors = bytes / SECTOR;
    table.disk = random();
    let usable = table.sectors.checked_sub(BACKUP_SECTORS)? * SECTOR;
    let end = usable - usable % MIB;
    let data = Partition::Data.number();
    let last = table.entries.iter().map(|entry| entry.extent.end()).max()?;
    for entry in &mut table.entries {
        entry.guid = random();
        if entry.number == data {
            if entry.extent.end() != last {
                return None;
            }
            entry.extent.len = end.max(entry.extent.end()).checked_sub(entry.extent.start)?;
        }
    }
    let fits = table.entries.iter().all(|entry| entry.extent.end() <= usable);
    fits.then_some(table)
}

/// A random name: version 4. Source: RFC 9562, section 5.4.
pub(super) fn random_guid() -> Result<Uuid, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use outcrop_release::{arch::Architecture, board::Board};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        disk::{identity::tests::identity, layout::Layout},
        recipe::schema::Disk,
    };

    fn image(board: Board) -> (Gpt, u64) {
        let disk = Disk {
            root_slot: 64 * MIB,
            boot_slot: 70 * MIB,
            data: 128 * MIB,
        };
        let layout = Layout::plan(&disk, Architecture::Aarch64, board).unwrap();
        (
            Gpt::new(&layout, &identity(Architecture::Aarch64)),
            layout.image_bytes(),
        )
    }

    fn counted() -> impl FnMut() -> Uuid {
        let mut count = 0_u128;
        move || {
            count += 1;
            Uuid::from_u128(count)
        }
    }

    proptest! {
        #[test]
        fn data_alone_grows_and_nothing_overlaps_the_backup(more in 0_u64..40 * MIB, rpi in any::<bool>()) {
            let (table, bytes) = image(if rpi { Board::Rpi } else { Board::Efi });
            let own = personal(&table, bytes + more, counted()).unwrap();
            prop_assert_ne!(own.disk, table.disk);
            for (before, after) in table.entries.iter().zip(&own.entries) {
                prop_assert_ne!(before.guid, after.guid);
                prop_assert_eq!(before.extent.start, after.extent.start);
                prop_assert!(after.extent.end() <= bytes + more - BACKUP_SECTORS * SECTOR);
                if before.number == Partition::Data.number() {
                    prop_assert!(after.extent.len >= before.extent.len);
                    prop_assert!(bytes + more - after.extent.end() < 2 * MIB + BACKUP_SECTORS * SECTOR);
                } else {
                    prop_assert_eq!(before.extent.len, after.extent.len);
                }
            }
        }
    }

    #[test]
    fn a_medium_without_room_for_the_table_is_refused() {
        let (table, bytes) = image(Board::Efi);
        assert!(personal(&table, bytes - 2 * MIB, counted()).is_none());
        assert!(personal(&table, 0, counted()).is_none());
    }

    #[test]
    fn random_names_differ() {
        assert_ne!(random_guid().unwrap(), random_guid().unwrap());
    }
}
