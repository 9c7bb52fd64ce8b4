//! Which groups are patched, with which frames, and what that costs.

use super::{
    BlockSet, Known, Ledger, Part, ProvenTree, Side, Survey, SurveyError,
    delta::{Made, MadeTree, UsableDelta},
    proven::first_leaf_block,
};
use crate::{
    bundle::{PayloadName, TopTable},
    delta::{PatchFrame, SpanSource},
    plan::ByteRange,
    verity::{BLOCK_BYTES, BlockHash, HASH_BYTES, HASHES_PER_BLOCK, hash_block},
};

/// What is patched of a payload: the groups whose blocks of leaves aren't known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patches {
    /// Nothing.
    #[default]
    None,
    /// These frames of the delta make them, by their numbers.
    Frames(Vec<usize>),
    /// The whole boot payload is made, and its kernel packed.
    Packed,
    /// The whole boot payload is made, and its kernel's entropy coding put back on.
    Bare,
}

impl<E: From<SurveyError>> Survey<'_, E> {
    /// Decides what is patched. Groups that are in place, or that cost less as frames of the bundle, become known.
    pub(super) fn patches(
        &mut self,
        made: &Made<'_>,
        tree: &mut ProvenTree,
        known: &Known,
        top: &mut Option<TopTable>,
        ledger: &mut Ledger,
    ) -> Result<Patches, E> {
        let payload = tree.payload();
        let (Some(usable), Some(made)) = (self.delta, made.of(payload)) else {
            return Ok(Patches::None);
        };
        self.learn_in_place(made, tree, known, ledger)?;
        if payload == PayloadName::Boot
            && let Some(whole) = whole_boot(&usable, made, tree)
        {
            return Ok(whole);
        }
        let mut frames = Vec::new();
        for (number, frame) in made.delta.frames.iter().enumerate() {
            let unknown = unknown_groups(tree, frame);
            if unknown.is_empty() {
                continue;
            }
            let whole = unknown.len() as u64 == u64::from(frame.groups);
            let bytes = u64::from(frame.streams.total().unwrap_or(0));
            if !whole && self.otherwise(made, payload, &unknown, top, ledger)? < bytes {
                let blocks: BlockSet = unknown
                    .iter()
                    .flat_map(|group| {
                        let (first, end) = made.blocks_of(*group);
                        first..end
                    })
                    .collect();
                self.learn(tree, &blocks, ledger)?;
            } else {
                frames.push(number);
            }
        }
        Ok(if frames.is_empty() {
            Patches::None
        } else {
            Patches::Frames(frames)
        })
    }

    /// About what these groups cost without the delta: their leaves, and of the frames the share of the patched blocks.
    fn otherwise(
        &mut self,
        made: &MadeTree<'_>,
        payload: PayloadName,
        groups: &[u32],
        top: &mut Option<TopTable>,
        ledger: &mut Ledger,
    ) -> Result<u64, E> {
        let top = self.top(top, ledger)?;
        let table = match payload {
            PayloadName::Boot => &top.boot,
            PayloadName::Root => &top.root,
        };
        let cost = |group: &u32| {
            let (first, end) = made.blocks_of(*group);
            let patched = u64::from(made.delta.spans.patched(first, end));
            BLOCK_BYTES as u64 + table.bytes_about(first.into(), patched)
        };
        Ok(groups.iter().map(cost).sum())
    }

    /// Finds groups of patched blocks that the inactive slot holds already: an installation was cut short.
    fn learn_in_place(
        &mut self,
        made: &MadeTree<'_>,
        tree: &mut ProvenTree,
        known: &Known,
        ledger: &mut Ledger,
    ) -> Result<(), E> {
        let unknown: Vec<u32> = tree.unknown().iter().collect();
        for number in unknown {
            let Some(group) = made.group(number.into()) else {
                continue;
            };
            let (first, end) = made.blocks_of(group);
            let hashes = match tree.payload() {
                PayloadName::Boot => boot_group(known, first, end),
                PayloadName::Root => self.root_group(first, end, ledger)?,
            };
            let mut block = [0; BLOCK_BYTES];
            for (place, hash) in block.as_chunks_mut::<HASH_BYTES>().0.iter_mut().zip(hashes) {
                *place = hash;
            }
            let hash = hash_block(&self.manifest.verity.salt, &block);
            if hash == self.leaf_block_hash(tree, number.into())? {
                self.trees.keep(tree.payload(), number.into(), &block)?;
                tree.learned(number);
            }
        }
        Ok(())
    }

    /// Hashes of a group of the inactive root; none where a whole tree tells that they differ, or its first block is empty.
    fn root_group(&self, first: u32, end: u32, ledger: &mut Ledger) -> Result<Vec<BlockHash>, E> {
        // A tree that is there was compared already, block by block of its leaves.
        if self.old_root(Side::Other)?.is_some() {
            return Ok(Vec::new());
        }
        let empty = hash_block(&self.manifest.verity.salt, &[0; BLOCK_BYTES]);
        let mut is_empty = true;
        ledger.read(1);
        self.slots.root_hashes(
            std::slice::from_ref(&(first.into()..u64::from(first) + 1)),
            &mut |_, hash| {
                is_empty = hash == empty;
                Ok(())
            },
        )?;
        if is_empty {
            return Ok(Vec::new());
        }
        let mut hashes = vec![[0; HASH_BYTES]; (end - first) as usize];
        ledger.read(u64::from(end - first));
        self.slots.root_hashes(
            std::slice::from_ref(&(first.into()..end.into())),
            &mut |number, hash| {
                let place = number
                    .checked_sub(first.into())
                    .and_then(|place| usize::try_from(place).ok());
                if let Some(place) = place.and_then(|place| hashes.get_mut(place)) {
                    *place = hash;
                }
                Ok(())
            },
        )?;
        Ok(hashes)
    }

    /// Counts what patching a payload fetches, reads and writes. Returns the blocks of patched groups that seem to be in place.
    pub(super) fn count_patches(
        &self,
        made: &Made<'_>,
        tree: &ProvenTree,
        patches: &Patches,
        known: &Known,
        ledger: &mut Ledger,
    ) -> Result<BlockSet, E> {
        let mut kept = BlockSet::new();
        let (Some(usable), Some(made)) = (self.delta, made.of(tree.payload())) else {
            return Ok(kept);
        };
        match patches {
            Patches::None => return Ok(kept),
            Patches::Packed => {
                let bytes = usable
                    .index
                    .packed
                    .as_ref()
                    .map_or(0, crate::delta::PackedBoot::bytes);
                ledger.fetched(Part::Delta, bytes, 1)?;
            }
            Patches::Bare => {
                let bytes = usable
                    .index
                    .bare
                    .as_ref()
                    .map_or(0, crate::delta::BareBoot::bytes);
                ledger.fetched(Part::Delta, bytes, 1)?;
            }
            Patches::Frames(numbers) => {
                let ranges: Vec<ByteRange> = made
                    .delta
                    .ranges()
                    .enumerate()
                    .filter(|(number, _)| numbers.contains(number))
                    .map(|(_, range)| range)
                    .collect();
                ledger.fetch(Part::Delta, &ranges)?;
            }
        }
        for number in tree.unknown().iter() {
            self.count_group(made, tree, number, known, ledger, &mut kept)?;
        }
        Ok(kept)
    }

    /// Counts the blocks of a group: those that are patched or come from elsewhere are written, the others are where they were.
    fn count_group(
        &self,
        made: &MadeTree<'_>,
        tree: &ProvenTree,
        number: u32,
        known: &Known,
        ledger: &mut Ledger,
        kept: &mut BlockSet,
    ) -> Result<(), E> {
        let Some(group) = made.group(number.into()) else {
            return Ok(());
        };
        let (first, end) = made.blocks_of(group);
        let there = match tree.payload() {
            PayloadName::Root => self.other_leaves(u64::from(first))?,
            PayloadName::Boot => boot_group(known, first, end),
        };
        for span in made.delta.spans.within(first, end) {
            let SpanSource::Old(old) = span.source else {
                ledger.patched(span.blocks.into());
                continue;
            };
            for (block, old) in (span.first..span.end()).zip(old..) {
                let leaf = made.old_leaf(self, old)?;
                let place = (block - first) as usize;
                if leaf.is_some() && there.get(place) == leaf.as_ref() {
                    ledger.kept(1);
                    kept.insert(block);
                } else {
                    ledger.copied(1);
                }
            }
        }
        Ok(())
    }

    /// Hashes of a group of the inactive root, as its tree says; nothing without a tree.
    fn other_leaves(&self, first: u64) -> Result<Vec<BlockHash>, E> {
        let Some(geometry) = self
            .old_root(Side::Other)?
            .filter(|shape| first < shape.data_blocks())
        else {
            return Ok(Vec::new());
        };
        let number = first_leaf_block(geometry) + first / HASHES_PER_BLOCK;
        let block = self.slots.root_tree_block(Side::Other, number)?;
        Ok(block.map_or_else(Vec::new, |block| block.as_chunks::<HASH_BYTES>().0.to_vec()))
    }
}

/// How the boot payload is made as a whole, if that costs less than the frames that are lacking: packed, where there is the memory,
/// or by way of the kernel's bare form.
fn whole_boot(usable: &UsableDelta<'_>, made: &MadeTree<'_>, tree: &ProvenTree) -> Option<Patches> {
    let lacking = made
        .delta
        .frames
        .iter()
        .filter(|frame| !unknown_groups(tree, frame).is_empty());
    let totals = lacking.filter_map(|frame| frame.streams.total());
    let wanted: u64 = totals.map(u64::from).sum();
    let packed = usable
        .index
        .packed
        .as_ref()
        .filter(|packed| packed.memory_bytes() <= usable.memory && packed.recipe.check_library().is_ok());
    let packed = packed.map(|packed| (packed.bytes(), Patches::Packed));
    let bare = usable
        .index
        .bare
        .as_ref()
        .map(|bare| (bare.bytes(), Patches::Bare));
    let ways = [packed, bare].into_iter().flatten();
    ways.filter(|(bytes, _)| *bytes < wanted)
        .min_by_key(|(bytes, _)| *bytes)
        .map(|(_, way)| way)
}

/// The groups of a frame whose blocks of leaves aren't known.
fn unknown_groups(tree: &ProvenTree, frame: &PatchFrame) -> Vec<u32> {
    let first = first_leaf_block(tree.geometry());
    (frame.first_group..frame.end_group())
        .filter(|group| {
            let number = u32::try_from(first + u64::from(*group));
            number.is_ok_and(|number| tree.unknown().contains(number))
        })
        .collect()
}

/// Hashes of a group of the inactive boot payload.
fn boot_group(known: &Known, first: u32, end: u32) -> Vec<BlockHash> {
    let range = usize::try_from(first).ok().zip(usize::try_from(end).ok());
    let hashes = range.and_then(|(first, end)| known.boot_hashes(Side::Other).get(first..end));
    hashes.map(<[BlockHash]>::to_vec).unwrap_or_default()
}
