//! Which slot holds the release that the kernel command line names.

use std::io;

use outcrop_release::{
    digest::RootHash,
    partition::Partition,
    slot::Slot,
    verity::{BLOCK_BYTES, Superblock, SuperblockError, TOP_BLOCK_OFFSET, root_hash_of_top_block},
};

use super::disk::{Disks, OutcropDisk};

/// Why a slot isn't the one.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The kernel doesn't show one of its partitions.
    #[error("there is no partition {0}")]
    NoPartition(&'static str),
    /// Its tree can't be read.
    #[error("read {device}")]
    Read {
        /// Kernel name of the verity partition.
        device: String,
        /// Why.
        source: io::Error,
    },
    /// It holds no release, or one that is being written.
    #[error("it holds no complete release")]
    Superblock(#[source] SuperblockError),
    /// It holds another release.
    #[error("it holds the release with root hash {0}")]
    OtherRelease(RootHash),
}

/// The slot to start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenSlot {
    /// The slot.
    pub slot: Slot,
    /// Kernel name of its root partition.
    pub root: String,
    /// Kernel name of its verity partition.
    pub verity: String,
    /// What its verity superblock says.
    pub superblock: Superblock,
}

/// Neither slot holds the release.
#[derive(Debug, thiserror::Error)]
#[error(
    "no slot on {disk} holds the release with root hash {wanted}: {}",
    reasons(tried)
)]
pub struct NoSlot {
    /// Kernel name of the disk.
    pub disk: String,
    /// What was looked for.
    pub wanted: RootHash,
    /// Why each slot isn't the one.
    pub tried: Vec<(Slot, Mismatch)>,
}

fn reasons(tried: &[(Slot, Mismatch)]) -> String {
    let each = tried
        .iter()
        .map(|(slot, mismatch)| format!("slot {slot}: {}", crate::chain::describe(mismatch)));
    each.collect::<Vec<_>>().join("; ")
}

/// The slot whose tree has `wanted` at its top. The slot that the loader says it started is looked at first: both may
/// hold the same release.
///
/// The tree's top block, hashed with the superblock's salt, must give the root hash; everything below it is then checked
/// by the kernel, block by block.
///
/// # Errors
/// When neither slot holds the release.
pub fn choose_slot(
    disks: &dyn Disks,
    disk: &OutcropDisk,
    started: Option<Slot>,
    wanted: &RootHash,
) -> Result<ChosenSlot, NoSlot> {
    let first = started.unwrap_or(Slot::A);
    let mut tried = Vec::new();
    for slot in [first, first.other()] {
        match check_slot(disks, disk, slot, wanted) {
            Ok(chosen) => return Ok(chosen),
            Err(mismatch) => tried.push((slot, mismatch)),
        }
    }
    Err(NoSlot {
        disk: disk.disk.name.clone(),
        wanted: *wanted,
        tried,
    })
}

fn check_slot(
    disks: &dyn Disks,
    disk: &OutcropDisk,
    slot: Slot,
    wanted: &RootHash,
) -> Result<ChosenSlot, Mismatch> {
    let device = |partition: Partition| {
        let name = disk.device(partition).map(str::to_owned);
        name.ok_or(Mismatch::NoPartition(partition.label()))
    };
    let (root, verity) = (device(Partition::Root(slot))?, device(Partition::Verity(slot))?);
    let mut block = [0; BLOCK_BYTES];
    let mut read = |offset| {
        disks
            .read_at(&verity, offset, &mut block)
            .map_err(|source| Mismatch::Read {
                device: verity.clone(),
                source,
            })?;
        Ok(block)
    };
    let superblock = Superblock::parse(&read(0)?).map_err(Mismatch::Superblock)?;
    let found = root_hash_of_top_block(&superblock.salt, &read(TOP_BLOCK_OFFSET)?);
    if found != *wanted {
        return Err(Mismatch::OtherRelease(found));
    }
    Ok(ChosenSlot {
        slot,
        root,
        verity,
        superblock,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use outcrop_release::verity::{Salt, TreeBuilder};
    use uuid::Uuid;

    use super::*;
    use crate::{
        gpt::{Shape, test_table},
        init::disk::{Disk, Location},
    };

    /// Content of verity partitions by kernel name; what isn't there can't be read.
    #[derive(Default)]
    struct Fake(BTreeMap<&'static str, Vec<u8>>);

    impl Disks for Fake {
        fn list(&self) -> io::Result<Vec<Disk>> {
            Ok(vec![])
        }

        fn read_at(&self, device: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let bytes = self
                .0
                .get(device)
                .ok_or_else(|| io::Error::other("Input/output error"))?;
            let start = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
            Ok(())
        }
    }

    fn disk() -> OutcropDisk {
        let labels: Vec<(u32, &str)> = Partition::of(outcrop_release::board::Board::Efi)
            .map(|p| (p.number(), p.label()))
            .collect();
        OutcropDisk {
            disk: Disk {
                name: "vda".to_owned(),
                shape: Shape {
                    sector_bytes: 512,
                    bytes: 0,
                },
                location: Location::default(),
                partitions: (1..=9).map(|number| (number, format!("vda{number}"))).collect(),
            },
            table: test_table(&labels),
        }
    }

    fn release(seed: u8) -> (Vec<u8>, RootHash) {
        let mut tree = TreeBuilder::new(Uuid::nil(), Salt::from_bytes([7; 32]));
        tree.push(&vec![seed; 4 * BLOCK_BYTES]);
        let tree = tree.finish().unwrap();
        (tree.to_bytes(), tree.root_hash())
    }

    const VERITY_A: &str = "vda6";
    const VERITY_B: &str = "vda8";

    #[test]
    fn the_slot_that_the_loader_started_comes_first_when_both_hold_the_release() {
        let (bytes, hash) = release(1);
        let fake = Fake([(VERITY_A, bytes.clone()), (VERITY_B, bytes)].into());
        for slot in Slot::ALL {
            assert_eq!(choose_slot(&fake, &disk(), Some(slot), &hash).unwrap().slot, slot);
        }
        assert_eq!(choose_slot(&fake, &disk(), None, &hash).unwrap().slot, Slot::A);
    }

    #[test]
    fn the_root_hash_wins_over_what_the_loader_says() {
        let ((old, _), (new, hash)) = (release(1), release(2));
        let fake = Fake([(VERITY_A, old), (VERITY_B, new)].into());
        let chosen = choose_slot(&fake, &disk(), Some(Slot::A), &hash).unwrap();
        assert_eq!(
            (chosen.slot, chosen.root.as_str(), chosen.verity.as_str()),
            (Slot::B, "vda7", "vda8")
        );
    }

    #[test]
    fn a_twin_whose_superblock_is_zeroed_is_no_candidate() {
        let (bytes, hash) = release(1);
        let mut half_written = bytes.clone();
        half_written[..512].fill(0);
        let fake = Fake([(VERITY_A, bytes), (VERITY_B, half_written)].into());
        assert_eq!(
            choose_slot(&fake, &disk(), Some(Slot::B), &hash).unwrap().slot,
            Slot::A
        );
    }

    #[test]
    fn when_no_slot_fits_each_reason_is_told() {
        let ((old, old_hash), (_, wanted)) = (release(1), release(2));
        let fake = Fake([(VERITY_A, old)].into());
        let error = choose_slot(&fake, &disk(), None, &wanted)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("no slot on vda holds the release with root hash"));
        assert!(error.contains(&format!("slot a: it holds the release with root hash {old_hash}")));
        assert!(error.contains("slot b: read vda8: Input/output error"), "{error}");
    }

    #[test]
    fn a_tree_with_a_changed_top_block_is_another_release() {
        let (mut bytes, hash) = release(1);
        bytes[BLOCK_BYTES] ^= 1;
        let fake = Fake([(VERITY_A, bytes)].into());
        let error = choose_slot(&fake, &disk(), None, &hash).unwrap_err();
        assert!(matches!(error.tried[0], (Slot::A, Mismatch::OtherRelease(_))));
    }

    #[test]
    fn a_slot_whose_partitions_the_kernel_doesnt_show_is_named_by_label() {
        let mut disk = disk();
        disk.disk.partitions.clear();
        let error = choose_slot(&Fake::default(), &disk, None, &release(1).1).unwrap_err();
        assert!(error.to_string().contains("there is no partition outcrop-root-a"));
    }
}
