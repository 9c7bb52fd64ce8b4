//! The boot sector and the FSInfo sector.

use super::{error::FatError, geometry::Geometry};
use crate::units::SECTOR;

/// Length of the volume label, in bytes.
pub(super) const LABEL_BYTES: usize = 11;
/// First cluster of the root folder in the file systems that Outcrop writes.
pub(super) const ROOT_CLUSTER: u32 = 2;
/// Sector of the FSInfo, and of the boot sector's copy.
const INFO_SECTOR: u16 = 1;
const COPY_SECTOR: u16 = 6;

/// What the boot sector says beside the geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labels {
    /// Serial number.
    pub(super) serial: u32,
    /// Label, filled with spaces.
    pub(super) label: [u8; LABEL_BYTES],
    /// Sectors on the disk before the partition.
    pub(super) hidden_sectors: u32,
}

/// The first eight sectors: boot sector, FSInfo, and a copy of both.
pub(super) fn encode(geometry: Geometry, labels: &Labels, free: u32, next_free: u32) -> Vec<u8> {
    let pair = [boot_sector(geometry, labels), info_sector(free, next_free)].concat();
    let mut bytes = pair.clone();
    bytes.resize(usize::from(COPY_SECTOR) * 512, 0);
    bytes.extend_from_slice(&pair);
    bytes
}

fn boot_sector(geometry: Geometry, labels: &Labels) -> [u8; 512] {
    let mut bytes = [0; 512];
    let mut put = |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
    put(0, &[0xeb, 0x58, 0x90]);
    put(3, b"OUTCROP ");
    put(11, &512_u16.to_le_bytes());
    put(13, &[geometry.cluster_sectors]);
    put(14, &geometry.reserved_sectors.to_le_bytes());
    put(16, &[geometry.tables]);
    put(21, &[0xf8]);
    put(24, &32_u16.to_le_bytes());
    put(26, &64_u16.to_le_bytes());
    put(28, &labels.hidden_sectors.to_le_bytes());
    put(32, &geometry.total_sectors.to_le_bytes());
    put(36, &geometry.table_sectors.to_le_bytes());
    put(44, &ROOT_CLUSTER.to_le_bytes());
    put(48, &INFO_SECTOR.to_le_bytes());
    put(50, &COPY_SECTOR.to_le_bytes());
    put(64, &[0x80, 0, 0x29]);
    put(67, &labels.serial.to_le_bytes());
    put(71, &labels.label);
    put(82, b"FAT32   ");
    // No code: jump to itself.
    put(90, &[0xeb, 0xfe]);
    put(510, &[0x55, 0xaa]);
    bytes
}

fn info_sector(free: u32, next_free: u32) -> [u8; 512] {
    let mut bytes = [0; 512];
    bytes[0..4].copy_from_slice(b"RRaA");
    bytes[484..488].copy_from_slice(b"rrAa");
    bytes[488..492].copy_from_slice(&free.to_le_bytes());
    bytes[492..496].copy_from_slice(&next_free.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// Reads a boot sector: geometry and first cluster of the root folder. `len` is the length of what holds it.
pub(super) fn parse(bytes: &[u8; 512], len: u64) -> Result<(Geometry, u32), FatError> {
    let half = |offset: usize| {
        bytes[offset..]
            .first_chunk()
            .map_or(0, |raw| u16::from_le_bytes(*raw))
    };
    let word = |offset: usize| {
        bytes[offset..]
            .first_chunk()
            .map_or(0, |raw| u32::from_le_bytes(*raw))
    };
    if half(510) != 0xaa55 || u64::from(half(11)) != SECTOR {
        return Err(FatError::BootSector("signature"));
    }
    if half(17) != 0 || half(19) != 0 || half(22) != 0 {
        return Err(FatError::BootSector("those of FAT12 and FAT16"));
    }
    let geometry = Geometry {
        total_sectors: word(32),
        reserved_sectors: half(14),
        tables: bytes[16],
        table_sectors: word(36),
        cluster_sectors: bytes[13],
    };
    if geometry.bytes() > len {
        return Err(FatError::BootSector("total sectors"));
    }
    let root = word(44);
    let geometry = geometry.check()?;
    geometry
        .cluster(root)
        .ok_or(FatError::BootSector("root folder"))?;
    Ok((geometry, root))
}
