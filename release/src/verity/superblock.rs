//! The superblock: 512 bytes at the start of the verity partition.

use uuid::Uuid;

use super::{BLOCK_BYTES, Geometry, GeometryError, HASH_BYTES, Salt};

/// Length of the superblock; the rest of its block is zero.
pub const SUPERBLOCK_BYTES: usize = 512;

const MAGIC: [u8; 8] = *b"verity\0\0";
const VERSION: u32 = 1;
const HASH_TYPE: u32 = 1;
const SALT_FIELD_BYTES: usize = 256;
const ALGORITHM: [u8; 32] = *b"sha256\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Offsets of the fields, in bytes. Numbers are little-endian.
mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 8;
    pub(super) const HASH_TYPE: usize = 12;
    pub(super) const UUID: usize = 16;
    pub(super) const ALGORITHM: usize = 32;
    pub(super) const DATA_BLOCK_BYTES: usize = 64;
    pub(super) const HASH_BLOCK_BYTES: usize = 68;
    pub(super) const DATA_BLOCKS: usize = 72;
    pub(super) const SALT_LEN: usize = 80;
    pub(super) const PAD_1: usize = 82;
    pub(super) const SALT: usize = 88;
    pub(super) const PAD_2: usize = 344;
}

/// What a verity superblock says: version 1, hash type 1, SHA-256, 4096-byte blocks, 32-byte salt. Others aren't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Name of the hash device; means nothing to the kernel.
    pub uuid: Uuid,
    /// Shape of the tree.
    pub geometry: Geometry,
    /// Salt of every hash.
    pub salt: Salt,
}

/// Bytes that are no verity superblock that Outcrop writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// Shorter than [`SUPERBLOCK_BYTES`].
    #[error("a verity superblock has {SUPERBLOCK_BYTES} bytes, here are {0}")]
    Length(usize),
    /// The signature is missing: an empty or half-written slot looks like this.
    #[error("no verity superblock: the signature is missing")]
    Magic,
    /// A field has a value that the format allows and Outcrop never writes.
    #[error("verity superblock: field {field} is {found}, only {only} is read")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// The value that is read.
        only: u64,
    },
    /// Another hash than SHA-256.
    #[error("verity superblock: the hash algorithm isn't sha256")]
    Algorithm,
    /// Bytes that must be zero are not.
    #[error("verity superblock: unused bytes aren't zero")]
    Unused,
    /// The number of data blocks is out of range.
    #[error("verity superblock: number of data blocks")]
    DataBlocks(#[source] GeometryError),
}

impl Superblock {
    /// The superblock as it lies on the disk.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SUPERBLOCK_BYTES] {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        let mut put =
            |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        let block = 4096_u32.to_le_bytes();
        put(at::MAGIC, &MAGIC);
        put(at::VERSION, &VERSION.to_le_bytes());
        put(at::HASH_TYPE, &HASH_TYPE.to_le_bytes());
        put(at::UUID, self.uuid.as_bytes());
        put(at::ALGORITHM, &ALGORITHM);
        put(at::DATA_BLOCK_BYTES, &block);
        put(at::HASH_BLOCK_BYTES, &block);
        put(at::DATA_BLOCKS, &self.geometry.data_blocks().to_le_bytes());
        put(at::SALT_LEN, &32_u16.to_le_bytes());
        put(at::SALT, self.salt.as_bytes());
        bytes
    }

    /// Reads the superblock at the start of `bytes`; what follows it isn't looked at.
    ///
    /// # Errors
    /// When it isn't one that [`Superblock::to_bytes`] could have made: each case of [`SuperblockError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let fields = bytes
            .first_chunk::<SUPERBLOCK_BYTES>()
            .ok_or(SuperblockError::Length(bytes.len()))?;
        if take::<8>(fields, at::MAGIC) != MAGIC {
            return Err(SuperblockError::Magic);
        }
        check_constants(fields)?;
        let data_blocks = u64::from_le_bytes(take(fields, at::DATA_BLOCKS));
        Ok(Self {
            uuid: Uuid::from_bytes(take(fields, at::UUID)),
            geometry: Geometry::new(data_blocks).map_err(SuperblockError::DataBlocks)?,
            salt: Salt::from_bytes(take(fields, at::SALT)),
        })
    }
}

/// Refuses fields whose value Outcrop never writes.
fn check_constants(fields: &[u8; SUPERBLOCK_BYTES]) -> Result<(), SuperblockError> {
    let word = |offset| u64::from(u32::from_le_bytes(take(fields, offset)));
    let salt_len = u64::from(u16::from_le_bytes(take(fields, at::SALT_LEN)));
    let numbers = [
        ("version", word(at::VERSION), u64::from(VERSION)),
        ("hash type", word(at::HASH_TYPE), u64::from(HASH_TYPE)),
        ("data block size", word(at::DATA_BLOCK_BYTES), BLOCK_BYTES as u64),
        ("hash block size", word(at::HASH_BLOCK_BYTES), BLOCK_BYTES as u64),
        ("salt length", salt_len, HASH_BYTES as u64),
    ];
    if let Some((field, found, only)) = numbers.into_iter().find(|(_, found, only)| found != only) {
        return Err(SuperblockError::Unsupported { field, found, only });
    }
    if take::<32>(fields, at::ALGORITHM) != ALGORITHM {
        return Err(SuperblockError::Algorithm);
    }
    let unused = [
        at::PAD_1..at::SALT,
        at::SALT + HASH_BYTES..at::SALT + SALT_FIELD_BYTES,
        at::PAD_2..SUPERBLOCK_BYTES,
    ];
    let zero = unused
        .into_iter()
        .all(|range| fields[range].iter().all(|&byte| byte == 0));
    if zero {
        Ok(())
    } else {
        Err(SuperblockError::Unused)
    }
}

/// `N` bytes at `offset`, which is one of [`at`], so inside.
fn take<const N: usize>(fields: &[u8; SUPERBLOCK_BYTES], offset: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&fields[offset..offset + N]);
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_superblock() -> impl Strategy<Value = Superblock> {
        (any::<u128>(), 2_u64..1 << 34, any::<[u8; 32]>()).prop_map(|(uuid, blocks, salt)| Superblock {
            uuid: Uuid::from_u128(uuid),
            geometry: Geometry::new(blocks).unwrap(),
            salt: Salt::from_bytes(salt),
        })
    }

    proptest! {
        #[test]
        fn a_superblock_survives_its_bytes(superblock in any_superblock()) {
            prop_assert_eq!(Superblock::parse(&superblock.to_bytes()), Ok(superblock));
        }

        #[test]
        fn whatever_parses_writes_the_same_bytes_again(
            superblock in any_superblock(),
            offset in 0..SUPERBLOCK_BYTES,
            byte: u8,
        ) {
            let mut bytes = superblock.to_bytes();
            bytes[offset] = byte;
            if let Ok(parsed) = Superblock::parse(&bytes) {
                prop_assert_eq!(parsed.to_bytes(), bytes);
            }
        }

        #[test]
        fn random_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(Superblock::parse(&bytes).is_err());
        }
    }

    #[test]
    fn an_erased_superblock_is_told_from_a_foreign_one() {
        assert_eq!(Superblock::parse(&[0; 512]), Err(SuperblockError::Magic));
        assert_eq!(Superblock::parse(b"verity\0\0"), Err(SuperblockError::Length(8)));
        let good = Superblock {
            uuid: Uuid::nil(),
            geometry: Geometry::new(2).unwrap(),
            salt: Salt::from_bytes([1; 32]),
        };
        let mut foreign = good.to_bytes();
        foreign[at::HASH_TYPE] = 0;
        assert_eq!(
            Superblock::parse(&foreign),
            Err(SuperblockError::Unsupported {
                field: "hash type",
                found: 0,
                only: 1
            })
        );
    }
}
