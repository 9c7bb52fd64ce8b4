//! What of an older image a newer one would like to keep: found by names, then by comparing contents.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    erofs::{
        ErofsError, Extent, FileType, Previous,
        plan::{InodeIndex, Place, Planned, layout::Placed},
        previous::Run,
        superblock::BLOCK,
    },
    partners::Partners,
    progress::Phase,
    tree::Tree,
};

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
pub(super) struct Sides<'a> {
    pub(super) inodes: &'a [(Planned, Place)],
    pub(super) previous: &'a Previous<'a>,
    /// By new inode: the partner's index.
    pub(super) partners: Vec<Option<usize>>,
    pub(super) phase: &'a dyn Phase,
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
}

impl Unit {
    /// The place where the older image has the same content.
    pub(super) fn kept(&self) -> Option<Run> {
        match self.wish {
            Wish::Same(run) => Some(run),
            Wish::Near(_) | Wish::Anywhere => None,
        }
    }
}
