//! The line that makes the kernel check a root partition against its tree.

use std::fmt::Display;

use super::{BLOCK_BYTES, Superblock};
use crate::digest::RootHash;

/// What the kernel does when a block doesn't match, or can't be read: it panics, and `panic=` reboots. Worn flash gives
/// read errors, so these count like corruption.
///
/// Left out on purpose: `ignore_zero_blocks` (an EROFS image has next to no zero blocks, and damage to one would go
/// unseen), `check_at_most_once` (a block that goes bad later would be served), and the restarting variants (a panic
/// leaves its reason in pstore).
const OPTIONS: [&str; 2] = ["panic_on_corruption", "panic_on_error"];

/// Length of the mapped device, in sectors of 512 bytes.
#[must_use]
pub const fn dm_sectors(superblock: &Superblock) -> u64 {
    superblock.geometry.data_bytes() / 512
}

/// Parameters of the `verity` target over the devices `data` and `hash` (paths, or `major:minor`).
///
/// The target begins at sector 0 and is [`dm_sectors`] long.
/// Source: Linux, `Documentation/admin-guide/device-mapper/verity.rst`, "Construction Parameters".
#[must_use]
pub fn dm_table(superblock: &Superblock, root: &RootHash, data: impl Display, hash: impl Display) -> String {
    let blocks = superblock.geometry.data_blocks();
    let (salt, count, options) = (superblock.salt, OPTIONS.len(), OPTIONS.join(" "));
    format!("1 {data} {hash} {BLOCK_BYTES} {BLOCK_BYTES} {blocks} 1 sha256 {root} {salt} {count} {options}")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::verity::{Geometry, Salt};

    #[test]
    fn the_table_starts_the_tree_at_block_1_and_panics_on_damage() {
        let superblock = Superblock {
            uuid: Uuid::nil(),
            geometry: Geometry::new(1000).unwrap(),
            salt: Salt::from_bytes([0x11; 32]),
        };
        let table = dm_table(&superblock, &RootHash::from_bytes([0x22; 32]), "253:5", "253:6");
        let (salt, root) = ("11".repeat(32), "22".repeat(32));
        assert_eq!(
            table,
            format!(
                "1 253:5 253:6 4096 4096 1000 1 sha256 {root} {salt} 2 panic_on_corruption panic_on_error"
            )
        );
        assert_eq!(dm_sectors(&superblock), 8000);
    }
}
