//! Identifiers of an image: derived from what it is, never random, so that two builds give the same bytes.

use outcrop_release::{
    arch::Architecture, board::Board, name::ImageName, partition::Partition, verity::Salt,
};

use crate::sha256::Sha256;
use uuid::{Builder, Uuid};

/// What all releases of one product for one kind of device have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Product.
    pub image: ImageName,
    /// What it runs on.
    pub architecture: Architecture,
    /// What starts it.
    pub board: Board,
}

impl Identity {
    /// GUID of the disk.
    #[must_use]
    pub fn disk(&self) -> Uuid {
        self.uuid("disk")
    }

    /// GUID of a partition.
    #[must_use]
    pub fn partition(&self, partition: Partition) -> Uuid {
        self.uuid(partition.label())
    }

    /// UUID in the verity superblock. One for both slots: nothing in a release depends on where it is installed.
    #[must_use]
    pub fn verity(&self) -> Uuid {
        self.uuid("verity")
    }

    /// UUID of the data file system.
    #[must_use]
    pub fn data_file_system(&self) -> Uuid {
        self.uuid("ext4")
    }

    /// Seed of the data file system's directory hashes.
    #[must_use]
    pub fn directory_hash_seed(&self) -> Uuid {
        self.uuid("ext4 directory hash")
    }

    /// Serial number of partition 1's FAT.
    #[must_use]
    pub fn fat_serial(&self) -> u32 {
        self.uuid("fat").as_fields().0
    }

    /// Salt of the verity trees: one per product, so that the trees of its releases can be compared.
    #[must_use]
    pub fn salt(&self) -> Salt {
        Salt::from_bytes(self.digest("verity salt"))
    }

    /// A version 8 UUID for `purpose`. Source: RFC 9562, section 5.8.
    fn uuid(&self, purpose: &str) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.digest(purpose)[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// SHA-256 over the parts; none of them can hold a zero byte.
    fn digest(&self, purpose: &str) -> [u8; 32] {
        let (image, architecture, board) = (
            self.image.as_str(),
            self.architecture.as_str(),
            self.board.as_str(),
        );
        let text = ["outcrop identity 1", image, architecture, board, purpose].join("\0");
        Sha256::digest(text)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashSet;

    use super::*;

    pub(crate) fn identity(architecture: Architecture) -> Identity {
        Identity {
            image: "edge".parse().unwrap(),
            architecture,
            board: Board::Efi,
        }
    }

    #[test]
    fn identifiers_differ_by_partition_and_by_architecture() {
        let mut seen = HashSet::new();
        for architecture in Architecture::ALL {
            let identity = identity(architecture);
            let named = [identity.disk(), identity.verity(), identity.data_file_system()];
            seen.extend(
                Partition::of(Board::Rpi)
                    .map(|partition| identity.partition(partition))
                    .chain(named),
            );
        }
        assert_eq!(seen.len(), 24);
    }

    #[test]
    fn identifiers_never_change() {
        let identity = identity(Architecture::X86_64);
        assert_eq!(
            identity.disk().to_string(),
            "674dc961-d128-89ca-949a-71932f2ca792"
        );
        assert_eq!(identity.disk().get_version_num(), 8);
        assert_eq!(
            identity.salt().to_string(),
            "b28ae05b5e2c6f11d088c3235747c184ab6cbac2c92f2f6c1aab3e050c130837"
        );
    }
}
