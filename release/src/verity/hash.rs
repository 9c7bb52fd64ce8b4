//! Salt and hash of one block.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use super::{BLOCK_BYTES, HASH_BYTES};
use crate::digest::RootHash;

/// SHA-256 of salt and block: an entry of the tree.
pub type BlockHash = [u8; HASH_BYTES];

/// What goes into the hash before each block: 32 bytes, one value per product, so that trees of its releases compare.
///
/// Text form: 64 lower-case hexadecimal digits, as `veritysetup --salt` takes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Salt([u8; HASH_BYTES]);

/// A text that is no salt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a salt is 64 hexadecimal digits, not {0:?}")]
pub struct SaltError(pub String);

impl Salt {
    /// Takes the 32 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl FromStr for Salt {
    type Err = SaltError;

    fn from_str(text: &str) -> Result<Self, SaltError> {
        let mut bytes = [0; HASH_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| SaltError(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({self})")
    }
}

/// The entry of the tree for one data block or hash block (hash type 1: the salt comes first).
#[must_use]
pub fn hash_block(salt: &Salt, block: &[u8; BLOCK_BYTES]) -> BlockHash {
    Sha256::new_with_prefix(salt.0)
        .chain_update(block)
        .finalize()
        .into()
}

/// The root hash of the tree whose top block is `block`: what identifies a slot's content by one read of
/// [`BLOCK_BYTES`] at [`TOP_BLOCK_OFFSET`](super::TOP_BLOCK_OFFSET) of its verity partition.
#[must_use]
pub fn root_hash_of_top_block(salt: &Salt, block: &[u8; BLOCK_BYTES]) -> RootHash {
    RootHash::from_bytes(hash_block(salt, block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_survives_its_text_form() {
        let salt = Salt::from_bytes([0xa5; 32]);
        assert_eq!(salt.to_string().parse(), Ok(salt));
        assert!("a5".parse::<Salt>().is_err());
    }

    #[test]
    fn the_salt_is_hashed_before_the_block() {
        let mut both = vec![7; 32];
        both.extend([9; BLOCK_BYTES]);
        let expected: BlockHash = Sha256::digest(&both).into();
        assert_eq!(
            hash_block(&Salt::from_bytes([7; 32]), &[9; BLOCK_BYTES]),
            expected
        );
    }
}
