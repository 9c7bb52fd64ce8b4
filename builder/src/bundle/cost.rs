//! What installing a bundle costs a device, without the device: the same survey over files that stand for it.

use std::{collections::BTreeMap, ops::Range, path::Path, str::FromStr};

use outcrop_release::{
    bundle::{Head, PayloadName},
    digest::RootHash,
    partition::Partition,
    plan::{
        self, ByteRange,
        survey::{Block, Bundle as BundleBytes, Side, Slots, Survey, TakePart, TreeStore},
    },
    slot::Slot,
    verity::{
        BLOCK_BYTES, BlockHash, HASH_BYTES, HASHES_PER_BLOCK, Salt, Superblock, hash_block,
        root_hash_of_top_block,
    },
};

use super::{Bundle, BundleError, cost_delta::CostDelta};
use crate::{disk::read::DiskImage, read_at::ReadAt as _};

/// A release that a device runs.
pub struct Installed {
    boot: Boot,
    superblock: Superblock,
    /// The root's tree as it lies in a verity partition.
    tree: Vec<u8>,
}

/// A boot payload; behind it, its slot is zero.
enum Boot {
    /// Hashes of its blocks.
    Hashes(Vec<BlockHash>),
    /// An image that has it in slot A.
    Image(DiskImage),
}

/// What the slot holds that doesn't run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherSlot {
    /// Nothing, as after flashing.
    Empty,
    /// The release that runs.
    Old,
}

/// A text that is no [`OtherSlot`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the other slot is empty or old, not {0:?}")]
pub struct OtherSlotError(pub String);

impl FromStr for OtherSlot {
    type Err = OtherSlotError;

    fn from_str(text: &str) -> Result<Self, OtherSlotError> {
        match text {
            "empty" => Ok(Self::Empty),
            "old" => Ok(Self::Old),
            other => Err(OtherSlotError(other.to_owned())),
        }
    }
}

impl Installed {
    /// Reads an image (its slot A), or a bundle.
    ///
    /// # Errors
    /// When it is neither, or its hash trees are damaged.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        DiskImage::open(path).map_or_else(|_| Self::of_bundle(&Bundle::open(path)?), Self::of_image)
    }

    fn of_bundle(bundle: &Bundle) -> Result<Self, BundleError> {
        let (boot, root) = bundle.trees()?;
        Ok(Self {
            boot: Boot::Hashes(boot.leaves().to_vec()),
            superblock: *root.superblock(),
            tree: root.to_bytes(),
        })
    }

    fn of_image(image: DiskImage) -> Result<Self, BundleError> {
        let superblock = image
            .slot(Slot::A)?
            .root
            .ok_or(BundleError::EmptyImage)?
            .superblock;
        let verity = image.partition(Partition::Verity(Slot::A))?;
        let len = usize::try_from(superblock.geometry.partition_bytes()).unwrap_or(usize::MAX);
        let tree = verity.read_vec(0, len).map_err(|_| BundleError::EmptyImage)?;
        Ok(Self {
            boot: Boot::Image(image),
            superblock,
            tree,
        })
    }

    /// Root hash of its root file system.
    fn root_hash(&self) -> RootHash {
        let top = self.tree_block(1).unwrap_or([0; BLOCK_BYTES]);
        root_hash_of_top_block(&self.superblock.salt, &top)
    }

    /// Hashes of the first `blocks` blocks of the boot payload's slot.
    fn boot_hashes(&self, blocks: u64, salt: &Salt) -> Result<Vec<BlockHash>, BundleError> {
        let count = usize::try_from(blocks).unwrap_or(usize::MAX);
        let mut hashes = match &self.boot {
            Boot::Hashes(hashes) => hashes.iter().take(count).copied().collect(),
            Boot::Image(image) => {
                let bytes = image.boot_bytes(Slot::A, blocks * BLOCK_BYTES as u64)?;
                let blocks = bytes.as_chunks().0.iter();
                blocks.map(|block| hash_block(salt, block)).collect::<Vec<_>>()
            }
        };
        hashes.resize(count, hash_block(salt, &[0; BLOCK_BYTES]));
        Ok(hashes)
    }

    fn tree_block(&self, number: u64) -> Option<Block> {
        let number = usize::try_from(number).ok()?;
        self.tree.as_chunks().0.get(number).copied()
    }

    /// Hash of a block of the root; of none behind its end.
    fn root_hash_of(&self, block: u64) -> Option<BlockHash> {
        let geometry = self.superblock.geometry;
        let number = geometry.leaves_offset() / BLOCK_BYTES as u64 + block / HASHES_PER_BLOCK;
        let place = usize::try_from(block % HASHES_PER_BLOCK).ok()?;
        let leaves = self
            .tree_block(number)
            .filter(|_| block < geometry.data_blocks())?;
        leaves.as_chunks::<HASH_BYTES>().0.get(place).copied()
    }
}

/// A device that runs a release.
struct Device<'a> {
    old: &'a Installed,
    other: OtherSlot,
    salt: Salt,
}

impl Device<'_> {
    fn holds_old(&self, side: Side) -> bool {
        side == Side::Running || self.other == OtherSlot::Old
    }
}

impl Slots<BundleError> for Device<'_> {
    fn boot_hashes(&self, side: Side, blocks: u64) -> Result<Vec<BlockHash>, BundleError> {
        if self.holds_old(side) {
            return self.old.boot_hashes(blocks, &self.salt);
        }
        let count = usize::try_from(blocks).unwrap_or(usize::MAX);
        Ok(vec![hash_block(&self.salt, &[0; BLOCK_BYTES]); count])
    }

    fn root_superblock(&self, side: Side) -> Result<Option<Superblock>, BundleError> {
        Ok(self.holds_old(side).then_some(self.old.superblock))
    }

    fn root_tree_block(&self, side: Side, number: u64) -> Result<Option<Block>, BundleError> {
        Ok(self.old.tree_block(number).filter(|_| self.holds_old(side)))
    }

    fn root_hashes(
        &self,
        runs: &[Range<u64>],
        take: &mut dyn FnMut(u64, BlockHash) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        if self.other == OtherSlot::Empty {
            let zeros = hash_block(&self.salt, &[0; BLOCK_BYTES]);
            return runs
                .iter()
                .cloned()
                .flatten()
                .try_for_each(|number| take(number, zeros));
        }
        let mut blocks = runs.iter().cloned().flatten();
        blocks.try_for_each(|number| match self.old.root_hash_of(number) {
            Some(hash) => take(number, hash),
            None => Ok(()),
        })
    }
}

impl BundleBytes<BundleError> for &Bundle {
    fn fetch(&mut self, ranges: &[ByteRange], take: TakePart<'_, BundleError>) -> Result<(), BundleError> {
        let mut numbered = ranges.iter().enumerate();
        numbered.try_for_each(|(place, range)| take(place, &self.range(*range)?))
    }
}

/// The new trees, in memory.
#[derive(Default)]
struct Trees(BTreeMap<(PayloadName, u64), Block>);

impl TreeStore<BundleError> for Trees {
    fn keep(&mut self, payload: PayloadName, number: u64, block: &Block) -> Result<(), BundleError> {
        self.0.insert((payload, number), *block);
        Ok(())
    }

    fn kept(&self, payload: PayloadName, number: u64) -> Result<Block, BundleError> {
        // The survey asks for what it gave.
        Ok(self
            .0
            .get(&(payload, number))
            .copied()
            .unwrap_or([0; BLOCK_BYTES]))
    }
}

/// What installing `bundle` costs a device that runs `old`, with the delta that it would find, and so much memory for packing a kernel.
///
/// # Errors
/// When the bundle isn't what its manifest says, or can't be read.
pub fn cost(
    mut bundle: &Bundle,
    old: &Installed,
    other: OtherSlot,
    memory: u64,
) -> Result<plan::Cost, BundleError> {
    let head = Head::read(|range| bundle.range(range))?;
    let manifest = bundle.manifest();
    let device = Device {
        old,
        other,
        salt: manifest.verity.salt,
    };
    let (delta, looked) = CostDelta::find(bundle, old.root_hash())?;
    let survey = Survey {
        manifest,
        layout: head.layout(&manifest.members),
        bundle: &mut bundle,
        slots: &device,
        trees: &mut Trees::default(),
        budget: None,
        delta: delta.as_ref().map(|delta| delta.usable(memory)),
        looked,
    };
    Ok(survey.plan(&head)?.cost)
}
