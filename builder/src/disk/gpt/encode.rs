//! Writes a table.

use outcrop_release::{
    board::Board,
    partition::{NO_AUTO_FLAG, Partition},
    slot::Slot,
};
use uuid::Uuid;

use super::{
    BACKUP_BYTES, ENTRIES, ENTRIES_BYTES, ENTRIES_SECTORS, ENTRY_BYTES, Entry, HEADER_BYTES, PRIMARY_BYTES,
};
use crate::disk::{
    identity::Identity,
    layout::Layout,
    units::{Extent, SECTOR},
};

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    /// Name of the disk.
    pub disk: Uuid,
    /// Length of the disk, in sectors.
    pub sectors: u64,
    /// The partition that the MBR names too, for firmware that knows no GPT: FAT32. None when a table was read.
    pub hybrid: Option<Extent>,
    /// The partitions, by number.
    pub entries: Vec<Entry>,
}

impl Gpt {
    /// The table of an image with this layout.
    #[must_use]
    pub fn new(layout: &Layout, identity: &Identity) -> Self {
        let entry = |partition: Partition| Entry {
            number: partition.number(),
            type_guid: partition.type_guid(layout.architecture()),
            guid: identity.partition(partition),
            extent: layout.extent(partition),
            attributes: attributes(partition),
            label: partition.label().to_owned(),
        };
        Self {
            disk: identity.disk(),
            sectors: layout.image_bytes() / SECTOR,
            hybrid: match layout.board() {
                Board::Efi => None,
                Board::Rpi => Some(layout.extent(Partition::Esp)),
            },
            entries: Partition::of(layout.board()).map(entry).collect(),
        }
    }

    /// Protective MBR, header and entries, for the start of the disk: [`PRIMARY_BYTES`].
    #[must_use]
    pub fn primary(&self) -> Vec<u8> {
        let entries = self.entry_array();
        let mut bytes = self
            .hybrid
            .map_or_else(|| protective_mbr(self.sectors), hybrid_mbr)
            .to_vec();
        bytes.extend_from_slice(&self.header(1, self.last(), 2, &entries));
        bytes.extend_from_slice(&entries);
        debug_assert_eq!(bytes.len(), PRIMARY_BYTES);
        bytes
    }

    /// Entries and header, for the end of the disk: [`BACKUP_BYTES`].
    #[must_use]
    pub fn backup(&self) -> Vec<u8> {
        let mut bytes = self.entry_array();
        let header = self.header(self.last(), 1, self.last() - ENTRIES_SECTORS, &bytes);
        bytes.extend_from_slice(&header);
        debug_assert_eq!(bytes.len(), BACKUP_BYTES);
        bytes
    }

    /// The last sector.
    const fn last(&self) -> u64 {
        self.sectors - 1
    }

    fn entry_array(&self) -> Vec<u8> {
        let mut bytes = vec![0; ENTRIES_BYTES];
        for entry in &self.entries {
            let index = entry.number as usize - 1;
            debug_assert!(index < ENTRIES);
            bytes[index * ENTRY_BYTES..(index + 1) * ENTRY_BYTES].copy_from_slice(&entry.to_bytes());
        }
        bytes
    }

    /// The header that lies in sector `own`, while its twin lies in `other` and its entries begin at `entries_at`.
    fn header(&self, own: u64, other: u64, entries_at: u64, entries: &[u8]) -> [u8; 512] {
        let mut bytes = [0; 512];
        let mut put =
            |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        put(0, b"EFI PART");
        put(8, &0x0001_0000_u32.to_le_bytes());
        put(12, &92_u32.to_le_bytes());
        put(24, &own.to_le_bytes());
        put(32, &other.to_le_bytes());
        put(40, &(2 + ENTRIES_SECTORS).to_le_bytes());
        put(48, &(self.last() - ENTRIES_SECTORS - 1).to_le_bytes());
        put(56, &self.disk.to_bytes_le());
        put(72, &entries_at.to_le_bytes());
        put(80, &128_u32.to_le_bytes());
        put(84, &128_u32.to_le_bytes());
        put(88, &crc32fast::hash(entries).to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..HEADER_BYTES]);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

/// No-auto on all but slot A's root and tree, so that tools which discover partitions (`systemd-dissect`) see the release
/// that an image holds: not the empty slot, and not the data for a root. On the device nothing is discovered
/// (`systemd.gpt_auto=no`).
const fn attributes(partition: Partition) -> u64 {
    match partition {
        Partition::Boot(_) | Partition::Root(Slot::B) | Partition::Verity(Slot::B) | Partition::Data => {
            NO_AUTO_FLAG
        }
        Partition::Root(Slot::A) | Partition::Verity(Slot::A) | Partition::Esp | Partition::BootRecord => 0,
    }
}

/// The MBR that keeps old tools away: one partition of type 0xEE over the whole disk.
/// Source: UEFI specification 2.10, section 5.2.3.
fn protective_mbr(sectors: u64) -> [u8; 512] {
    let mut bytes = [0; 512];
    let len = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    bytes[446..462].copy_from_slice(&[
        0, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0,
    ]);
    bytes[458..462].copy_from_slice(&len.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// The MBR for a Raspberry Pi 3, whose first boot loader knows no GPT: it wants a FAT partition, the first one. The second entry, of type
/// 0xEE, covers what lies before it: by that entry others know that there is a GPT.
fn hybrid_mbr(fat: Extent) -> [u8; 512] {
    /// FAT32, addressed by sectors.
    const FAT32: u8 = 0x0c;
    const PROTECTIVE: u8 = 0xee;
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR).unwrap_or(u32::MAX);
    let entry = |kind: u8, start: u32, len: u32| {
        let mut entry = [
            0, 0xfe, 0xff, 0xff, kind, 0xfe, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&len.to_le_bytes());
        entry
    };
    let mut bytes = [0; 512];
    bytes[446..462].copy_from_slice(&entry(FAT32, sectors(fat.start), sectors(fat.len)));
    bytes[462..478].copy_from_slice(&entry(PROTECTIVE, 1, sectors(fat.start).saturating_sub(1)));
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}
