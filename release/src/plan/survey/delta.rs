//! What a delta makes of the new trees, so that their leaves needn't be fetched.
//!
//! The delta's index has the hashes of leaf blocks that differ from the old tree's; with the others they make all levels above, and
//! those must end in the signed root hash: so every leaf block's hash is proven before any leaf is known. A leaf block over old blocks
//! alone is put together from old leaves. One over patched blocks is deferred: whoever patches hashes what comes out.

use std::{cell::RefCell, collections::BTreeMap};

use super::{Block, Known, Ledger, Side, Survey, SurveyError, geometry, proven::first_leaf_block, target};
use crate::{
    bundle::PayloadName,
    delta::{DeltaIndex, DeltaManifest, GROUP_BLOCKS, PayloadDelta, SpanSource},
    digest::RootHash,
    verity::{
        BLOCK_BYTES, BlockHash, Geometry, HASH_BYTES, HASHES_PER_BLOCK, Salt, hash_block,
        root_hash_of_top_block,
    },
};

/// Leaf blocks that are fetched to find out whether a delta from nothing pays.
const SAMPLES: usize = 16;

/// A delta whose signatures were verified, for the release that is surveyed.
#[derive(Debug, Clone, Copy)]
pub struct UsableDelta<'d> {
    /// Which releases it is for.
    pub manifest: &'d DeltaManifest,
    /// What it does.
    pub index: &'d DeltaIndex,
    /// Memory that packing a kernel may take, in bytes.
    pub memory: u64,
}

/// What the delta makes of both payloads.
#[derive(Debug, Default)]
pub(super) struct Made<'d> {
    pub(super) boot: Option<MadeTree<'d>>,
    pub(super) root: Option<MadeTree<'d>>,
}

/// A payload's new tree, as far as its delta says.
#[derive(Debug)]
pub(super) struct MadeTree<'d> {
    pub(super) delta: &'d PayloadDelta,
    geometry: Geometry,
    /// Blocks of the levels above the leaves, by their number in the partition.
    upper: BTreeMap<u64, Block>,
    old: OldLeaves,
}

/// Hashes of the old payload's blocks.
#[derive(Debug)]
enum OldLeaves {
    /// There is no old payload.
    Nothing,
    /// In the tree of the running root, which has this shape; the last block of it that was read.
    Root(Geometry, RefCell<Option<(u64, Box<Block>)>>),
    /// Of the running boot payload.
    Boot(Vec<BlockHash>),
}

impl<'d> Made<'d> {
    pub(super) const fn of(&self, payload: PayloadName) -> Option<&MadeTree<'d>> {
        match payload {
            PayloadName::Boot => self.boot.as_ref(),
            PayloadName::Root => self.root.as_ref(),
        }
    }
}

impl MadeTree<'_> {
    /// The group below a block of leaves.
    pub(super) fn group(&self, number: u64) -> Option<u32> {
        u32::try_from(number.checked_sub(first_leaf_block(self.geometry))?).ok()
    }

    /// First block of a group, and the one behind its last.
    pub(super) fn blocks_of(&self, group: u32) -> (u32, u32) {
        let end = group.saturating_add(1).saturating_mul(GROUP_BLOCKS);
        (
            group.saturating_mul(GROUP_BLOCKS),
            end.min(self.delta.spans.blocks()),
        )
    }

    /// Whether a block of leaves is over patched blocks.
    pub(super) fn is_patched(&self, number: u64) -> bool {
        self.group(number).is_some_and(|group| {
            let (first, end) = self.blocks_of(group);
            self.delta.spans.patched(first, end) > 0
        })
    }

    /// The hash of an old block; none when it can't be had.
    pub(super) fn old_leaf<E: From<SurveyError>>(
        &self,
        survey: &Survey<'_, E>,
        block: u32,
    ) -> Result<Option<BlockHash>, E> {
        match &self.old {
            OldLeaves::Nothing => Ok(None),
            OldLeaves::Boot(hashes) => Ok(usize::try_from(block)
                .ok()
                .and_then(|block| hashes.get(block))
                .copied()),
            OldLeaves::Root(geometry, cached) => {
                let number = first_leaf_block(*geometry) + u64::from(block) / HASHES_PER_BLOCK;
                let mut cached = cached.borrow_mut();
                if cached.as_ref().is_none_or(|(there, _)| *there != number) {
                    *cached = survey
                        .slots
                        .root_tree_block(Side::Running, number)?
                        .map(|block| (number, Box::new(block)));
                }
                let place = usize::try_from(u64::from(block) % HASHES_PER_BLOCK).unwrap_or_default();
                let hashes = cached
                    .as_ref()
                    .map_or(&[][..], |(_, block)| block.as_chunks::<HASH_BYTES>().0);
                Ok(hashes.get(place).copied())
            }
        }
    }

    /// A block of the new tree that is no block of leaves over patched blocks: nobody has proven it.
    fn block<E: From<SurveyError>>(&self, survey: &Survey<'_, E>, number: u64) -> Result<Option<Block>, E> {
        let Some(group) = self.group(number) else {
            return Ok(self.upper.get(&number).copied());
        };
        let (first, end) = self.blocks_of(group);
        let mut block = [0; BLOCK_BYTES];
        let mut places = block.as_chunks_mut::<HASH_BYTES>().0.iter_mut();
        for span in self.delta.spans.within(first, end) {
            let SpanSource::Old(old) = span.source else {
                return Ok(None);
            };
            for old in old..old.saturating_add(span.blocks) {
                match (places.next(), self.old_leaf(survey, old)?) {
                    (Some(place), Some(leaf)) => *place = leaf,
                    _ => return Ok(None),
                }
            }
        }
        Ok(Some(block))
    }
}

impl<'a, E: From<SurveyError>> Survey<'a, E> {
    /// What the delta makes of the new trees, if there is one that fits what runs.
    pub(super) fn made(&mut self, known: &Known, ledger: &mut Ledger) -> Result<Made<'a>, E> {
        let Some(usable) = self.delta else {
            return Ok(Made::default());
        };
        let Some(old) = &usable.manifest.from else {
            return self.made_of_nothing(usable, known, ledger);
        };
        let root = self.running_root()?.filter(|(hash, geometry)| {
            (*hash, geometry.data_bytes()) == (old.root.root_hash, old.root.bytes)
        });
        let root = match root {
            Some((_, geometry)) => {
                let leaves = OldLeaves::Root(geometry, RefCell::default());
                self.made_tree(PayloadName::Root, &usable.index.root, leaves, Some(geometry))?
            }
            None => None,
        };
        let count = old.boot.bytes / BLOCK_BYTES as u64;
        let hashes = known.boot_hashes(Side::Running);
        let hashes = usize::try_from(count).ok().and_then(|count| hashes.get(..count));
        let boot = match hashes.filter(|hashes| self.is_tree_of(hashes, &old.boot.root_hash)) {
            Some(hashes) => {
                let shape = Geometry::new(count).ok();
                let leaves = OldLeaves::Boot(hashes.to_vec());
                self.made_tree(PayloadName::Boot, &usable.index.boot, leaves, shape)?
            }
            None => None,
        };
        Ok(Made { boot, root })
    }

    /// Root hash and shape of the running root's tree, by what lies on the disk.
    fn running_root(&self) -> Result<Option<(RootHash, Geometry)>, E> {
        let Some(geometry) = self.old_root(Side::Running)? else {
            return Ok(None);
        };
        let top = self.slots.root_tree_block(Side::Running, 1)?;
        let salt = &self.manifest.verity.salt;
        Ok(top.map(|block| (root_hash_of_top_block(salt, &block), geometry)))
    }

    fn is_tree_of(&self, hashes: &[BlockHash], root: &RootHash) -> bool {
        let mut builder =
            crate::verity::TreeBuilder::new(self.manifest.verity.uuid, self.manifest.verity.salt);
        let built = builder.push_hashes(hashes).and_then(|()| builder.finish());
        built.is_ok_and(|tree| tree.root_hash() == *root)
    }

    /// A delta from nothing is used where it costs less than leaves and frames would: some leaf blocks are fetched to find out.
    fn made_of_nothing(
        &mut self,
        usable: UsableDelta<'a>,
        known: &Known,
        ledger: &mut Ledger,
    ) -> Result<Made<'a>, E> {
        let delta = &usable.index.root;
        let Some(root) = self.made_tree(PayloadName::Root, delta, OldLeaves::Nothing, None)? else {
            return Ok(Made::default());
        };
        let (found, looked_at) = self.sample(&root, known, ledger)?;
        let groups = u64::from(delta.spans.blocks().div_ceil(GROUP_BLOCKS));
        // As many of the frames as blocks were not found, and all leaves.
        let frames = u128::from(self.manifest.members.root.bytes) * u128::from(looked_at - found);
        let otherwise = frames / u128::from(looked_at.max(1)) + u128::from(groups) * BLOCK_BYTES as u128;
        let pays = u128::from(delta.bytes()) < otherwise && looked_at > 0;
        if !pays {
            return Ok(Made::default());
        }
        // Where the root has little in common, the kernel has nothing.
        let boot = self.made_tree(PayloadName::Boot, &usable.index.boot, OldLeaves::Nothing, None)?;
        Ok(Made {
            boot,
            root: Some(root),
        })
    }

    /// Fetches some blocks of leaves: how many of the blocks below the running slot has, and how many there are.
    fn sample(&mut self, root: &MadeTree<'_>, known: &Known, ledger: &mut Ledger) -> Result<(u64, u64), E> {
        let groups = root.delta.spans.blocks().div_ceil(GROUP_BLOCKS);
        let step = usize::try_from(groups)
            .unwrap_or(usize::MAX)
            .div_ceil(SAMPLES)
            .max(1);
        let numbers: Vec<(PayloadName, u64)> = (0..groups)
            .step_by(step)
            .map(|group| {
                (
                    PayloadName::Root,
                    first_leaf_block(root.geometry) + u64::from(group),
                )
            })
            .collect();
        let (mut found, mut looked_at) = (0, 0);
        self.look_at_tree(&numbers, ledger, |number, block| {
            let group = root.group(number).unwrap_or_default();
            let (first, end) = root.blocks_of(group);
            for leaf in block
                .as_chunks::<HASH_BYTES>()
                .0
                .iter()
                .take((end - first) as usize)
            {
                looked_at += 1;
                found += u64::from(known.active.find(leaf, None).is_some());
            }
        })?;
        Ok((found, looked_at))
    }

    /// A payload's new tree; none when the old leaf blocks or the delta's hashes aren't those that its root hash demands.
    fn made_tree(
        &self,
        payload: PayloadName,
        delta: &'a PayloadDelta,
        old: OldLeaves,
        old_shape: Option<Geometry>,
    ) -> Result<Option<MadeTree<'a>>, E> {
        let new = target(self.manifest, payload);
        let geometry = geometry(new).map_err(SurveyError::from)?;
        let mut made = MadeTree {
            delta,
            geometry,
            upper: BTreeMap::new(),
            old,
        };
        let groups = geometry.levels().first().copied().unwrap_or_default();
        if groups < 2 {
            return Ok(Some(made)); // the leaf block's hash is the root hash
        }
        let mut hashes = Vec::new();
        for group in 0..u32::try_from(groups).unwrap_or(0) {
            let hash = match delta.hash_of(group) {
                Some(hash) => Some(hash),
                None => self.old_leaf_block_hash(&made, old_shape, group)?,
            };
            match hash {
                Some(hash) => hashes.push(hash),
                None => return Ok(None),
            }
        }
        let salt = &self.manifest.verity.salt;
        made.upper = upper_levels(hashes, salt, geometry);
        let is_proven = made
            .upper
            .get(&1)
            .is_some_and(|top| root_hash_of_top_block(salt, top) == new.root_hash);
        Ok(is_proven.then_some(made))
    }

    /// The hash of the old leaf block over a group.
    fn old_leaf_block_hash(
        &self,
        made: &MadeTree<'_>,
        shape: Option<Geometry>,
        group: u32,
    ) -> Result<Option<BlockHash>, E> {
        let Some(shape) = shape else { return Ok(None) };
        let first = u64::from(group) * HASHES_PER_BLOCK;
        let end = shape.data_blocks().min(first + HASHES_PER_BLOCK);
        if first >= end {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES];
        for (place, number) in block.as_chunks_mut::<HASH_BYTES>().0.iter_mut().zip(first..end) {
            let leaf = match u32::try_from(number) {
                Ok(number) => made.old_leaf(self, number)?,
                Err(_) => None,
            };
            let Some(leaf) = leaf else { return Ok(None) };
            *place = leaf;
        }
        Ok(Some(hash_block(&self.manifest.verity.salt, &block)))
    }

    /// A block of a new tree that a delta makes without patching.
    pub(super) fn made_block(
        &self,
        made: &Made<'_>,
        payload: PayloadName,
        number: u64,
    ) -> Result<Option<Block>, E> {
        match made.of(payload) {
            Some(tree) => tree.block(self, number),
            None => Ok(None),
        }
    }
}

/// The levels above leaf blocks of these hashes, by their numbers in the partition.
fn upper_levels(mut hashes: Vec<BlockHash>, salt: &Salt, geometry: Geometry) -> BTreeMap<u64, Block> {
    let mut upper = BTreeMap::new();
    let mut first = first_leaf_block(geometry);
    for blocks in geometry.levels().into_iter().skip(1) {
        first -= blocks;
        let mut above = Vec::new();
        for (number, chunk) in (first..).zip(hashes.chunks(BLOCK_BYTES / HASH_BYTES)) {
            let mut block = [0; BLOCK_BYTES];
            for (place, hash) in block.as_chunks_mut::<HASH_BYTES>().0.iter_mut().zip(chunk) {
                *place = *hash;
            }
            above.push(hash_block(salt, &block));
            upper.insert(number, block);
        }
        hashes = above;
    }
    upper
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verity::TreeBuilder;

    #[test]
    fn levels_above_leaf_blocks_are_those_of_the_tree() {
        for blocks in [129_u32, 128 * 128 + 5] {
            let salt = Salt::from_bytes([5; 32]);
            let mut builder = TreeBuilder::new(uuid::Uuid::from_u128(7), salt);
            let leaves: Vec<BlockHash> = (0..blocks)
                .map(|number| {
                    let mut hash = [9; 32];
                    hash[..4].copy_from_slice(&number.to_le_bytes());
                    hash
                })
                .collect();
            builder.push_hashes(&leaves).unwrap();
            let tree = builder.finish().unwrap();
            let geometry = tree.superblock().geometry;
            let upper = upper_levels(tree.leaf_block_hashes(), &salt, geometry);
            let bytes = tree.to_bytes();
            for (number, block) in &upper {
                let start = usize::try_from(*number).unwrap() * BLOCK_BYTES;
                assert!(bytes[start..start + BLOCK_BYTES] == block[..], "{number}");
            }
            assert_eq!(upper.len() as u64, first_leaf_block(geometry) - 1);
        }
    }
}
