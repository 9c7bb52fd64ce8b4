//! What of an older image a newer one would like to keep: found by names, then by comparing contents.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Read},
};

use outcrop_release::digest::FileDigest;
use rayon::prelude::*;

use crate::{
    erofs::{
        ErofsError, Extent, FileType, Previous,
        plan::{Body, InodeIndex, Place, Planned, layout::Placed},
        previous::{OldInode, Run},
        superblock::BLOCK,
    },
    partners::Partners,
    progress::Phase,
    tree::{Content, Tree, TreePath},
};

/// Bytes that are compared at a time.
const PIECE_BYTES: usize = 256 << 10;

/// What the inodes and blocks of a new image would like.
pub(super) struct Wishes {
    /// By inode: the place of the inode that its partner had.
    pub(super) records: Vec<Option<Extent>>,
    /// By inode: whether it is known to differ from its partner's.
    pub(super) changed: Vec<bool>,
    pub(super) units: Vec<Unit>,
}

/// Blocks that are placed together.
pub(super) struct Unit {
    /// The inodes that have these blocks: several when one object of the store is several files.
    pub(super) members: Vec<InodeIndex>,
    pub(super) blocks: u32,
    pub(super) bytes: u64,
    pub(super) wish: Wish,
}

/// Where blocks would like to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Where the older image has the same content.
    Same(Run),
    /// Where the older image has another content of the same name.
    Near(Run),
    Anywhere,
}

/// The two sides, and who is what on the other one.
struct Sides<'a> {
    inodes: &'a [(Planned, Place)],
    previous: &'a Previous<'a>,
    /// By new inode: the partner's index.
    partners: Vec<Option<usize>>,
    phase: &'a dyn Phase,
}

impl Wishes {
    pub(super) fn find(
        fresh: &Placed,
        tree: &Tree,
        previous: &Previous<'_>,
        phase: &dyn Phase,
    ) -> Result<Self, ErofsError> {
        let sides = Sides {
            inodes: &fresh.inodes,
            previous,
            partners: partners(&fresh.inodes, tree, previous),
            phase,
        };
        let same = sides.compare()?;
        let mut units = sides.units(fresh, &same);
        sides.find_moved(&mut units)?;
        let record = |partner: &Option<usize>| Some(previous.inode((*partner)?)?.record);
        let known = |(index, same): (usize, &bool)| sides.is_changed(index, *same);
        Ok(Self {
            records: sides.partners.iter().map(record).collect(),
            changed: same.iter().enumerate().map(known).collect(),
            units,
        })
    }
}

/// The older inode that each new one comes from; none comes twice.
fn partners(inodes: &[(Planned, Place)], tree: &Tree, previous: &Previous<'_>) -> Vec<Option<usize>> {
    let partners = Partners::new(previous.paths(), tree.iter().map(|(path, _)| path));
    let mut used = BTreeSet::new();
    let mut partner = |(planned, _): &(Planned, Place)| {
        let index = previous.at(partners.partner(&planned.path)?)?;
        used.insert(index).then_some(index)
    };
    inodes.iter().map(&mut partner).collect()
}

impl Sides<'_> {
    /// By new inode: whether it is a file with the very content that its partner has.
    fn compare(&self) -> Result<Vec<bool>, ErofsError> {
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

    /// Whether the bytes of an inode are known to differ from what its partner has there: so its block changes anyway.
    fn is_changed(&self, index: usize, same: bool) -> bool {
        let Some((planned, _)) = self.inodes.get(index) else {
            return false;
        };
        let partner = self.partners.get(index).copied().flatten();
        let Some(old) = partner.and_then(|partner| self.previous.inode(partner)) else {
            return false;
        };
        let inline = old.run.is_none();
        old.kind != planned.body.kind()
            || old.size != planned.body.size()
            || inline && !same && old.kind == FileType::Regular
    }

    /// What is placed in blocks, with what the partners say to that.
    fn units(&self, fresh: &Placed, same: &[bool]) -> Vec<Unit> {
        let mut members: BTreeMap<u32, Vec<InodeIndex>> = BTreeMap::new();
        for (index, (_, place)) in self.inodes.iter().enumerate() {
            if place.extent_bytes > 0 {
                members.entry(place.block).or_default().push(InodeIndex(index));
            }
        }
        let unit = |extent: &super::Extent| {
            let members = members.remove(&extent.block).unwrap_or_default();
            let blocks = u32::try_from(extent.bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX); // checked by the fresh layout
            Unit {
                wish: self.wish(&members, blocks, same),
                members,
                blocks,
                bytes: extent.bytes,
            }
        };
        fresh.extents.iter().map(unit).collect()
    }

    fn wish(&self, members: &[InodeIndex], blocks: u32, same: &[bool]) -> Wish {
        let run = |member: &InodeIndex| {
            let partner = self.partners.get(member.0).copied().flatten()?;
            self.previous.inode(partner)?.run
        };
        let is_same = |member: &&InodeIndex| {
            let whole = run(member).is_some_and(|run| run.count == blocks);
            whole && same.get(member.0).copied().unwrap_or_default()
        };
        let kept = members.iter().find(is_same).and_then(run);
        let near = || members.iter().find_map(run).map_or(Wish::Anywhere, Wish::Near);
        kept.map_or_else(near, Wish::Same)
    }

    /// Looks for contents that the older image has under other names: among those of the same size, by digest.
    fn find_moved(&self, units: &mut [Unit]) -> Result<(), ErofsError> {
        let taken: BTreeSet<u32> = units
            .iter()
            .filter_map(|unit| unit.kept())
            .map(|run| run.first)
            .collect();
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

impl Unit {
    /// The place where the older image has the same content.
    fn kept(&self) -> Option<Run> {
        match self.wish {
            Wish::Same(run) => Some(run),
            Wish::Near(_) | Wish::Anywhere => None,
        }
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
