//! Compares contents: those of partners byte by byte, others of the same size by their digests.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Read},
};

use outcrop_release::digest::FileDigest;
use rayon::prelude::*;

use super::wishes::{Sides, Unit, Wish};
use crate::{
    erofs::{
        ErofsError, FileType,
        plan::{Body, Planned},
        previous::{OldInode, Run},
        superblock::BLOCK,
    },
    tree::{Content, TreePath},
};

/// Bytes that are compared at a time.
const PIECE_BYTES: usize = 256 << 10;

impl Sides<'_> {
    /// By new inode: whether it is a file with the very content that its partner has.
    pub(super) fn compare(&self) -> Result<Vec<bool>, ErofsError> {
        let pairs: Vec<_> = (0..self.inodes.len())
            .map(|index| self.comparable(index))
            .collect();
        let total = pairs.iter().flatten().map(|(_, content, _)| content.len()).sum();
        self.phase.set_total(total);
        pairs
            .par_iter()
            .map(|pair| match pair {
                Some((path, content, old)) => self.same_content(path, content, *old),
                None => Ok(false),
            })
            .collect()
    }

    /// Files of the same size, which only reading tells apart.
    fn comparable(&self, index: usize) -> Option<(&TreePath, &Content, usize)> {
        let (planned, content) = self.file(index)?;
        let partner = *self.partners.get(index)?.as_ref()?;
        let old = self.previous.inode(partner)?;
        let same_size = old.kind == FileType::Regular && old.size == content.len();
        same_size.then_some((&planned.path, content, partner))
    }

    fn file(&self, index: usize) -> Option<(&Planned, &Content)> {
        match self.inodes.get(index) {
            Some((planned, _)) => match &planned.body {
                Body::File(content) => Some((planned, content)),
                Body::Directory(_) | Body::Symlink(_) => None,
            },
            None => None,
        }
    }

    fn same_content(&self, path: &TreePath, content: &Content, old: usize) -> Result<bool, ErofsError> {
        self.phase.checkpoint()?;
        if self.previous.is_object(old, content) {
            self.phase.advance(content.len());
            return Ok(true);
        }
        let mut new = content.open().map_err(unread(path))?;
        let mut before = self.previous.open(old).map_err(unread_before(path))?;
        let (mut ours, mut theirs) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        loop {
            let count = fill(&mut new, &mut ours).map_err(unread(path))?;
            let found = fill(&mut before, &mut theirs).map_err(unread_before(path))?;
            self.phase.advance(count as u64);
            if ours.get(..count) != theirs.get(..found) {
                return Ok(false);
            }
            if count < PIECE_BYTES {
                return Ok(true);
            }
            self.phase.checkpoint()?;
        }
    }

    /// Looks for contents that the older image has under other names: among those of the same size, by digest.
    pub(super) fn find_moved(&self, units: &mut [Unit]) -> Result<(), ErofsError> {
        let taken: BTreeSet<u32> = units.iter().filter_map(Unit::kept).map(|run| run.first).collect();
        let wanted: BTreeSet<u64> = units
            .iter()
            .filter(|unit| unit.kept().is_none())
            .map(|unit| unit.bytes)
            .collect();
        let is_candidate = |inode: &OldInode| {
            let run = inode
                .run
                .filter(|run| u64::from(run.count) == inode.size.div_ceil(BLOCK));
            inode.kind == FileType::Regular
                && wanted.contains(&inode.size)
                && run.is_some_and(|run| !taken.contains(&run.first))
        };
        let candidates: Vec<(usize, &OldInode)> = self
            .previous
            .inodes()
            .iter()
            .enumerate()
            .filter(|(_, inode)| is_candidate(inode))
            .collect();
        let sizes: BTreeSet<u64> = candidates.iter().map(|(_, inode)| inode.size).collect();
        let mut known: HashMap<FileDigest, Vec<Run>> = HashMap::new();
        for (digest, run) in self.old_digests(&candidates)? {
            known.entry(digest).or_default().push(run);
        }
        let digests: Vec<Option<FileDigest>> = units
            .par_iter()
            .map(|unit| match unit.kept() {
                None if sizes.contains(&unit.bytes) => self.digest(unit),
                _ => Ok(None),
            })
            .collect::<Result<_, _>>()?;
        for (unit, digest) in units.iter_mut().zip(digests) {
            let runs = digest.and_then(|digest| known.get_mut(&digest));
            if let Some(run) = runs.filter(|runs| !runs.is_empty()).map(|runs| runs.remove(0)) {
                unit.wish = Wish::Same(run);
            }
        }
        Ok(())
    }

    fn old_digests(&self, candidates: &[(usize, &OldInode)]) -> Result<Vec<(FileDigest, Run)>, ErofsError> {
        let digest = |(index, inode): &(usize, &OldInode)| {
            self.phase.checkpoint()?;
            let failed = |source| ErofsError::Previous {
                path: self.previous.path_of(*index),
                source,
            };
            let Some(run) = inode.run else {
                return Ok(None);
            };
            let digest = self.previous.open(*index).and_then(FileDigest::of_reader);
            Ok(Some((digest.map_err(failed)?, run)))
        };
        let found: Result<Vec<_>, ErofsError> = candidates.par_iter().map(digest).collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn digest(&self, unit: &Unit) -> Result<Option<FileDigest>, ErofsError> {
        self.phase.checkpoint()?;
        let Some((planned, content)) = unit.members.first().and_then(|member| self.file(member.0)) else {
            return Ok(None);
        };
        let digest = content.open().and_then(FileDigest::of_reader);
        digest.map(Some).map_err(unread(&planned.path))
    }
}

fn unread(path: &TreePath) -> impl Fn(io::Error) -> ErofsError {
    move |source| ErofsError::Content {
        path: path.clone(),
        source,
    }
}

fn unread_before(path: &TreePath) -> impl Fn(io::Error) -> ErofsError {
    move |source| ErofsError::Previous {
        path: path.clone(),
        source,
    }
}

/// Reads until `buffer` is full or the content ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match from.read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
