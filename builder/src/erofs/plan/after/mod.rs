//! A layout after that of an older image: what is the same stays where it is.
//!
//! First it is found out what the older image has ([`wishes`]). Then everything that can keeps its place, and the rest
//! goes into the holes or to the end ([`place`]). When that leaves too many holes, less is kept: nothing that reaches
//! behind some block. The highest such block that will do is found by halving.

mod contents;
mod place;
mod space;
mod wishes;

use self::{
    place::{Arranged, Attempt},
    wishes::{Wish, Wishes},
};
use super::{Extent, InodeIndex, LayoutReport, layout::Placed};
use crate::{
    erofs::{ErofsError, Previous},
    progress::Phase,
    tree::Tree,
};

/// The search for the limit ends when it is known to this part of the image.
const LIMIT_PARTS: u32 = 256;

/// Arranges the inodes and blocks of a `fresh` layout of `tree` after those of `previous`.
pub(super) fn arrange(
    fresh: Placed,
    tree: &Tree,
    previous: &Previous<'_>,
    phase: &dyn Phase,
) -> Result<(Placed, LayoutReport), ErofsError> {
    let wishes = Wishes::find(&fresh, tree, previous, phase)?;
    let fresh_blocks = fresh.blocks;
    let found = search(
        &Attempt::new(&fresh, &wishes, previous),
        fresh_blocks,
        previous.blocks(),
    );
    let mut report = LayoutReport {
        previous_blocks: previous.blocks(),
        fresh_blocks,
        fresh: found.is_none(),
        ..LayoutReport::default()
    };
    let placed = match found {
        Some(arranged) => {
            (report.free_blocks, report.free_pieces, report.longest_free) = arranged.free;
            apply(fresh, &wishes, arranged)
        }
        None => fresh,
    };
    count(&mut report, &placed, &wishes);
    Ok((placed, report))
}

/// Keeps as much as the bounds allow; none when not even a layout that keeps nothing is within them.
fn search(attempt: &Attempt<'_>, fresh: u32, previous: u32) -> Option<Arranged> {
    let most = fresh.saturating_add(LayoutReport::most_free(fresh));
    let at = |limit| {
        let arranged = attempt.arrange(limit)?;
        let (free, ..) = arranged.free;
        let bounded = free <= LayoutReport::most_free(arranged.blocks) && arranged.blocks <= most;
        bounded.then_some(arranged)
    };
    let top = previous.min(most);
    if let Some(all) = at(top) {
        return Some(all);
    }
    let (mut low, mut high, mut best) = (0, top, at(0)?);
    while high - low > (top / LIMIT_PARTS).max(1) {
        let middle = low + (high - low) / 2;
        match at(middle) {
            Some(better) => (low, best) = (middle, better),
            None => high = middle,
        }
    }
    Some(best)
}

/// Puts everything where it was arranged.
fn apply(mut fresh: Placed, wishes: &Wishes, arranged: Arranged) -> Placed {
    for ((_, place), offset) in fresh.inodes.iter_mut().zip(&arranged.offsets) {
        place.offset = *offset;
    }
    fresh.extents.clear();
    for (unit, block) in wishes.units.iter().zip(&arranged.firsts) {
        for member in &unit.members {
            if let Some((_, place)) = fresh.inodes.get_mut(member.0) {
                place.block = *block;
            }
        }
        let extent = |inode: &InodeIndex| Extent {
            inode: *inode,
            block: *block,
            bytes: unit.bytes,
        };
        fresh.extents.extend(unit.members.first().map(extent));
    }
    fresh.extents.sort_by_key(|extent| extent.block);
    let offset = |index: &InodeIndex| fresh.inodes.get(index.0).map(|(_, place)| place.offset);
    fresh.metadata.sort_by_key(offset);
    fresh.blocks = arranged.blocks;
    fresh
}

/// Counts what stayed.
fn count(report: &mut LayoutReport, placed: &Placed, wishes: &Wishes) {
    report.blocks = placed.blocks;
    report.inodes = placed.inodes.len() as u64;
    let kept = placed.inodes.iter().zip(&wishes.records);
    let kept = kept.filter(|((_, place), record)| record.is_some_and(|record| record.offset == place.offset));
    report.kept_inodes = kept.count() as u64;
    for unit in &wishes.units {
        let block = unit
            .members
            .first()
            .and_then(|member| placed.inodes.get(member.0));
        let block = block.map(|(_, place)| place.block);
        let counter = match unit.wish {
            Wish::Same(run) if block == Some(run.first) => &mut report.kept_blocks,
            Wish::Same(_) => &mut report.moved_blocks,
            Wish::Near(_) | Wish::Anywhere => &mut report.changed_blocks,
        };
        *counter += u64::from(unit.blocks);
    }
}
