//! Fetches of the new trees what the device hasn't got.

use super::{
    BlockSet, Known, Ledger, Part, ProvenTree, Survey, SurveyError, delta::Made, geometry,
    proven::first_leaf_block, target,
};
use crate::{
    bundle::PayloadName,
    plan::ByteRange,
    verity::{BLOCK_BYTES, Descent, HASHES_PER_BLOCK, TreeError, WantedBlock, hash_block},
};

/// A payload's descent, and what it left out.
struct Branch {
    payload: PayloadName,
    descent: Descent,
    deferred: BlockSet,
}

impl Branch {
    fn failed(payload: PayloadName) -> impl Fn(TreeError) -> SurveyError {
        move |source| SurveyError::Tree { payload, source }
    }
}

impl<E: From<SurveyError>> Survey<'_, E> {
    /// Goes down both trees at once, so that a level of both is one request. Afterwards all of them is kept but for what was
    /// deferred.
    pub(super) fn descend(
        &mut self,
        known: &Known,
        made: &Made<'_>,
        ledger: &mut Ledger,
    ) -> Result<(ProvenTree, ProvenTree), E> {
        let (mut boot, mut root) = (self.branch(PayloadName::Boot)?, self.branch(PayloadName::Root)?);
        while !(boot.descent.is_complete() && root.descent.is_complete()) {
            let mut missing = Vec::new();
            for branch in [&mut boot, &mut root] {
                let wanted = self.take_known(branch, known, made)?;
                missing.extend(wanted.into_iter().map(|wanted| (branch.payload, wanted)));
            }
            let blocks: Vec<_> = missing
                .iter()
                .map(|(payload, wanted)| (*payload, wanted.number))
                .collect();
            self.fetch_tree(&blocks, ledger, |payload, number, block| {
                let branch = match payload {
                    PayloadName::Boot => &mut boot,
                    PayloadName::Root => &mut root,
                };
                let supplied = branch.descent.supply(number, block);
                supplied.map_err(Branch::failed(payload))
            })?;
            for branch in [&mut boot, &mut root] {
                let deferred = branch.descent.go_down().map_err(Branch::failed(branch.payload))?;
                let numbers = deferred
                    .into_iter()
                    .filter_map(|number| u32::try_from(number).ok());
                numbers.for_each(|number| branch.deferred.insert(number));
            }
        }
        Ok((self.proven(boot)?, self.proven(root)?))
    }

    fn branch(&self, payload: PayloadName) -> Result<Branch, E> {
        let target = target(self.manifest, payload);
        let geometry = geometry(target).map_err(SurveyError::from)?;
        Ok(Branch {
            payload,
            descent: Descent::new(geometry, &target.root_hash, self.manifest.verity.salt),
            deferred: BlockSet::new(),
        })
    }

    fn proven(&self, branch: Branch) -> Result<ProvenTree, E> {
        let geometry = geometry(target(self.manifest, branch.payload)).map_err(SurveyError::from)?;
        Ok(ProvenTree::new(branch.payload, geometry, branch.deferred))
    }

    /// Takes the blocks of a level from old trees; those that none has, and nobody makes, are left.
    fn take_known(
        &mut self,
        branch: &mut Branch,
        known: &Known,
        made: &Made<'_>,
    ) -> Result<Vec<WantedBlock>, E> {
        let mut missing = Vec::new();
        for wanted in branch.descent.wanted().collect::<Vec<_>>() {
            let found = known.find(self, &wanted.hash)?;
            // An old tree may have rotted since its hash was made.
            let found = match found.filter(|block| branch.descent.supply(wanted.number, block).is_ok()) {
                Some(block) => Some(block),
                None => self
                    .made_block(made, branch.payload, wanted.number)?
                    .filter(|block| branch.descent.supply(wanted.number, block).is_ok()),
            };
            let patched = made
                .of(branch.payload)
                .is_some_and(|made| made.is_patched(wanted.number));
            if let Some(block) = found {
                self.trees.keep(branch.payload, wanted.number, &block)?;
            } else if branch.descent.is_at_leaves() && patched {
                branch.descent.defer(wanted.number);
            } else {
                missing.push(wanted);
            }
        }
        Ok(missing)
    }

    /// Fetches blocks of the trees, ascending, and keeps each that `prove` believes.
    fn fetch_tree(
        &mut self,
        blocks: &[(PayloadName, u64)],
        ledger: &mut Ledger,
        mut prove: impl FnMut(PayloadName, u64, &[u8; BLOCK_BYTES]) -> Result<(), SurveyError>,
    ) -> Result<(), E> {
        let ranges = blocks
            .iter()
            .map(|(payload, number)| self.tree_range(*payload, *number))
            .collect::<Result<Vec<_>, _>>()?;
        ledger.fetch(Part::Tree, &ranges)?;
        let trees = &mut *self.trees;
        self.bundle.fetch(&ranges, &mut |place, bytes| {
            if let (Some((payload, number)), Some(block)) = (blocks.get(place), bytes.first_chunk()) {
                prove(*payload, *number, block)?;
                trees.keep(*payload, *number, block)?;
            }
            Ok(())
        })
    }

    /// Fetches blocks of the trees, ascending, to look at them: nothing is kept, and nothing proven.
    pub(super) fn look_at_tree(
        &mut self,
        blocks: &[(PayloadName, u64)],
        ledger: &mut Ledger,
        mut look: impl FnMut(u64, &[u8; BLOCK_BYTES]),
    ) -> Result<(), E> {
        let ranges = blocks
            .iter()
            .map(|(payload, number)| self.tree_range(*payload, *number))
            .collect::<Result<Vec<_>, _>>()?;
        ledger.fetch(Part::Tree, &ranges)?;
        self.bundle.fetch(&ranges, &mut |place, bytes| {
            if let (Some((_, number)), Some(block)) = (blocks.get(place), bytes.first_chunk()) {
                look(*number, block);
            }
            Ok(())
        })
    }

    /// Where a block of a tree lies in the bundle.
    fn tree_range(&self, payload: PayloadName, number: u64) -> Result<ByteRange, SurveyError> {
        let before = match payload {
            PayloadName::Boot => 0,
            PayloadName::Root => geometry(&self.manifest.boot)?.partition_bytes(),
        };
        let start = before + number * BLOCK_BYTES as u64;
        Ok(self.layout.verity.range(start, start + BLOCK_BYTES as u64))
    }

    /// Fetches the blocks of leaves that say what these data blocks are, as far as they were deferred.
    pub(super) fn learn(
        &mut self,
        tree: &mut ProvenTree,
        blocks: &BlockSet,
        ledger: &mut Ledger,
    ) -> Result<(), E> {
        let first = first_leaf_block(tree.geometry());
        let mut unknown = Vec::new();
        for number in tree.unknown().iter() {
            let below = (u64::from(number) - first) * HASHES_PER_BLOCK;
            let next = u32::try_from(below).ok().and_then(|below| blocks.next(below));
            if next.is_some_and(|block| u64::from(block) < below + HASHES_PER_BLOCK) {
                unknown.push((number, self.leaf_block_hash(tree, number.into())?));
            }
        }
        let payload = tree.payload();
        let wanted: Vec<_> = unknown
            .iter()
            .map(|(number, _)| (payload, u64::from(*number)))
            .collect();
        let salt = self.manifest.verity.salt;
        let mut hashes = unknown.iter().map(|(_, hash)| *hash);
        self.fetch_tree(&wanted, ledger, |payload, number, block| {
            if hashes.next() == Some(hash_block(&salt, block)) {
                return Ok(());
            }
            Err(Branch::failed(payload)(TreeError::Mismatch { block: number }))
        })?;
        unknown.into_iter().for_each(|(number, _)| tree.learned(number));
        Ok(())
    }
}
