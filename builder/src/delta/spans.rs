//! Which blocks of the new payload the old one has.

use std::collections::HashMap;

use outcrop_release::{
    delta::{SpanSource, Spans},
    verity::BlockHash,
};

/// Compares the leaves of two trees: of one salt, or nothing is the same. A block is taken from its own place where it is there too: a
/// device may have it in place already.
pub(super) fn spans(old: &[BlockHash], new: &[BlockHash]) -> Spans {
    let mut places: HashMap<&BlockHash, u32> = HashMap::with_capacity(old.len());
    for (block, leaf) in (0_u32..).zip(old) {
        places.entry(leaf).or_insert(block);
    }
    let is_at = |block: u32, leaf: &BlockHash| {
        let there = usize::try_from(block).ok().and_then(|block| old.get(block));
        there == Some(leaf)
    };
    let mut spans = Spans::default();
    let mut next = None;
    for (block, leaf) in (0_u32..).zip(new) {
        let nearest = [Some(block), next]
            .into_iter()
            .flatten()
            .find(|block| is_at(*block, leaf));
        let from = nearest.or_else(|| places.get(leaf).copied());
        spans.push(from.map_or(SpanSource::Patch, SpanSource::Old));
        next = from.and_then(|from| from.checked_add(1));
    }
    spans
}

#[cfg(test)]
mod tests {
    use outcrop_release::delta::Span;

    use super::*;

    #[test]
    fn a_block_comes_from_its_own_place_else_from_where_its_neighbour_comes_from_else_from_anywhere() {
        let leaves = |contents: &[u8]| contents.iter().map(|content| [*content; 32]).collect::<Vec<_>>();
        let spans = spans(&leaves(&[1, 2, 1, 3, 2]), &leaves(&[2, 1, 1, 3, 9, 2, 1]));
        let span = |first, blocks, source| Span {
            first,
            blocks,
            source,
        };
        assert_eq!(
            spans.all(),
            [
                span(0, 2, SpanSource::Old(1)),
                span(2, 2, SpanSource::Old(2)),
                span(4, 1, SpanSource::Patch),
                span(5, 2, SpanSource::Old(1)),
            ]
        );
    }
}
