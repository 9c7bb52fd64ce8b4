//! The superblock: 128 bytes at offset 1024.
//!
//! Format: "Core On-disk Format", section Superblock, in the documentation of EROFS at kernel.org.

use uuid::Uuid;

use super::{crc32c, fields::Fields, reader::ReadError};

/// Bytes of a block. The format allows others; Outcrop's hash tree, slots and kernels want this one.
pub const BLOCK_BYTES: usize = 4096;
/// [`BLOCK_BYTES`] for arithmetic on addresses.
pub(super) const BLOCK: u64 = 4096;
/// log2 of [`BLOCK_BYTES`].
const BLOCK_BITS: u8 = 12;
/// Where the superblock starts, in bytes from the start of the image.
pub(super) const SUPERBLOCK_OFFSET: usize = 1024;
/// Bytes of the superblock without extension slots.
pub(super) const SUPERBLOCK_BYTES: usize = 128;
const MAGIC: u32 = 0xE0F5_E1E2;
/// The checksum covers the first block from the superblock on.
const CHECKSUMMED_BYTES: usize = BLOCK_BYTES - SUPERBLOCK_OFFSET;
/// Compatible feature: the superblock has a checksum.
const COMPAT_CHECKSUM: u32 = 0x1;
/// Compatible feature: inode times are modification times.
const COMPAT_MTIME: u32 = 0x2;
/// Incompatible feature that only concerns compressed files, which are refused one by one.
const INCOMPAT_ZERO_PADDING: u32 = 0x1;

/// What an image says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// File system UUID.
    pub uuid: Uuid,
    /// Volume name, filled with zero bytes.
    pub label: [u8; 16],
    /// Time of every inode that has none of its own: seconds since 1970.
    pub time: u64,
    /// Number of inodes.
    pub inodes: u64,
    /// Size of the file system in blocks of [`BLOCK_BYTES`].
    pub blocks: u32,
    /// Number of the root folder's inode.
    pub root: u16,
    /// First block of the area that inode numbers count from.
    pub metadata_block: u32,
    /// First block of the area that shared attributes are counted from.
    pub xattr_block: u32,
}

impl Superblock {
    /// The image's first block. Nothing else is in it, so it depends on nothing but these fields.
    pub(super) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut fields = Vec::with_capacity(SUPERBLOCK_BYTES);
        fields.extend(MAGIC.to_le_bytes());
        fields.extend(0_u32.to_le_bytes()); // checksum, set below
        fields.extend((COMPAT_CHECKSUM | COMPAT_MTIME).to_le_bytes());
        fields.extend([BLOCK_BITS, 0]); // no extension slots
        fields.extend(self.root.to_le_bytes());
        fields.extend(self.inodes.to_le_bytes());
        fields.extend(self.time.to_le_bytes());
        fields.extend(0_u32.to_le_bytes()); // nanoseconds
        fields.extend(self.blocks.to_le_bytes());
        fields.extend(self.metadata_block.to_le_bytes());
        fields.extend(self.xattr_block.to_le_bytes());
        fields.extend(self.uuid.as_bytes());
        fields.extend(self.label);

        let mut block = [0; BLOCK_BYTES];
        block[SUPERBLOCK_OFFSET..SUPERBLOCK_OFFSET + fields.len()].copy_from_slice(&fields);
        let checksum = crc32c::update(!0, &block[SUPERBLOCK_OFFSET..]);
        block[SUPERBLOCK_OFFSET + 4..SUPERBLOCK_OFFSET + 8].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads the superblock from the image's first block.
    pub(super) fn decode(block: &[u8; BLOCK_BYTES]) -> Result<Self, ReadError> {
        let mut fields = Fields(&block[SUPERBLOCK_OFFSET..]);
        if fields.u32() != Some(MAGIC) {
            return Err(ReadError::NotErofs);
        }
        let mut next = || fields.u32().ok_or(ReadError::NotErofs);
        let (checksum, compatible) = (next()?, next()?);
        if compatible & COMPAT_CHECKSUM != 0 && checksum != expected_checksum(block) {
            return Err(ReadError::Checksum);
        }
        let (superblock, rest) = Self::decode_body(fields).ok_or(ReadError::NotErofs)?;
        rest.check()?;
        Ok(superblock)
    }

    fn decode_body(mut fields: Fields<'_>) -> Option<(Self, Demands)> {
        let (block_bits, _extension_slots) = (fields.u8()?, fields.u8()?);
        let (root, inodes, time) = (fields.u16()?, fields.u64()?, fields.u64()?);
        let (_nanoseconds, blocks) = (fields.u32()?, fields.u32()?);
        let superblock = Self {
            root,
            inodes,
            time,
            blocks,
            metadata_block: fields.u32()?,
            xattr_block: fields.u32()?,
            uuid: Uuid::from_bytes(fields.array()?),
            label: fields.array()?,
        };
        let incompatible = fields.u32()?;
        let (_compression, extra_devices, _device_slots) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let demands = Demands {
            block_bits,
            incompatible,
            extra_devices,
            directory_block_bits: fields.u8()?,
        };
        Some((superblock, demands))
    }
}

/// What a reader must be able to do.
struct Demands {
    block_bits: u8,
    incompatible: u32,
    extra_devices: u16,
    directory_block_bits: u8,
}

impl Demands {
    fn check(&self) -> Result<(), ReadError> {
        let unknown = self.incompatible & !INCOMPAT_ZERO_PADDING;
        if unknown != 0 {
            return Err(ReadError::Features(unknown));
        }
        if self.block_bits != BLOCK_BITS || self.directory_block_bits != 0 {
            return Err(ReadError::BlockSize(self.block_bits));
        }
        if self.extra_devices != 0 {
            return Err(ReadError::ExtraDevices(self.extra_devices));
        }
        Ok(())
    }
}

fn expected_checksum(block: &[u8; BLOCK_BYTES]) -> u32 {
    let mut copy = [0; CHECKSUMMED_BYTES];
    copy.copy_from_slice(&block[SUPERBLOCK_OFFSET..]);
    copy[4..8].fill(0);
    crc32c::update(!0, &copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        Superblock {
            uuid: Uuid::from_bytes([7; 16]),
            label: *b"outcrop\0\0\0\0\0\0\0\0\0",
            time: 1_700_000_000,
            inodes: 3,
            blocks: 9,
            root: 128,
            metadata_block: 0,
            xattr_block: 0,
        }
    }

    #[test]
    fn a_superblock_reads_back_as_written() {
        assert_eq!(Superblock::decode(&sample().encode()).unwrap(), sample());
    }

    #[test]
    fn a_changed_byte_anywhere_in_the_superblock_s_block_is_noticed() {
        for byte in SUPERBLOCK_OFFSET..BLOCK_BYTES {
            let mut block = sample().encode();
            block[byte] ^= 0x10;
            assert!(Superblock::decode(&block).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn an_unknown_incompatible_feature_is_named() {
        let mut block = sample().encode();
        block[SUPERBLOCK_OFFSET + 8] = 0; // no checksum, so that it can't be the reason
        block[SUPERBLOCK_OFFSET + 80] = 0x41;
        assert!(matches!(
            Superblock::decode(&block),
            Err(ReadError::Features(0x40))
        ));
    }
}
