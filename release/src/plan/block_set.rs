//! A set of blocks of a slot.

use std::ops::Range;

/// Block numbers from 0 to a fixed end, a bit each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockSet {
    words: Vec<u64>,
}

impl BlockSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Adds a block.
    pub fn insert(&mut self, block: u32) {
        let (word, bit) = Self::place(block);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= bit;
        }
    }

    /// Whether a block is in the set.
    #[must_use]
    pub fn contains(&self, block: u32) -> bool {
        let (word, bit) = Self::place(block);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many blocks are in the set.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether no block is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The first block of the set that isn't before `from`.
    #[must_use]
    pub fn next(&self, from: u32) -> Option<u32> {
        let (first, bit) = Self::place(from);
        // Bits before `from` don't count.
        let mask = |index: usize| if index == first { !(bit - 1) } else { u64::MAX };
        let words = self.words.iter().enumerate().skip(first);
        let (index, word) = words
            .map(|(index, word)| (index, word & mask(index)))
            .find(|(_, word)| *word != 0)?;
        let block = u32::try_from(index).ok()?.checked_mul(64)?;
        block.checked_add(word.trailing_zeros())
    }

    /// The set's blocks, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let after = |block: &u32| self.next(block.checked_add(1)?);
        std::iter::successors(self.next(0), after)
    }

    /// Runs of blocks before `end` that aren't in the set, ascending. Blocks of the set between two runs that are no more than `near`
    /// count as one run's.
    pub fn runs_outside(&self, end: u32, near: u32) -> impl Iterator<Item = Range<u32>> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let start = self.next_outside(from).filter(|start| *start < end)?;
            let mut behind = start;
            loop {
                let inside = self.next(behind).map_or(end, |inside| inside.min(end));
                let outside = self.next_outside(inside).map_or(end, |outside| outside.min(end));
                behind = outside;
                if outside - inside > near || outside == end {
                    from = outside;
                    return Some(start..inside);
                }
            }
        })
    }

    /// The first block outside the set that isn't before `from`.
    fn next_outside(&self, from: u32) -> Option<u32> {
        let (first, bit) = Self::place(from);
        let mask = |index: usize| if index == first { !(bit - 1) } else { u64::MAX };
        let words = self.words.iter().enumerate().skip(first);
        let found = words
            .map(|(index, word)| (index, !word & mask(index)))
            .find(|(_, word)| *word != 0);
        let Some((index, word)) = found else {
            return Some(from.max(u32::try_from(self.words.len()).ok()?.saturating_mul(64)));
        };
        let block = u32::try_from(index).ok()?.checked_mul(64)?;
        block.checked_add(word.trailing_zeros())
    }

    /// Takes a block out.
    pub fn remove(&mut self, block: u32) {
        let (word, bit) = Self::place(block);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    const fn place(block: u32) -> (usize, u64) {
        // A block's number has 32 bits, and so has its word's index, which fits wherever this runs.
        ((block / 64) as usize, 1 << (block % 64))
    }
}

impl FromIterator<u32> for BlockSet {
    fn from_iter<T: IntoIterator<Item = u32>>(blocks: T) -> Self {
        let mut set = Self::new();
        blocks.into_iter().for_each(|block| set.insert(block));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let blocks = [0, 63, 64, 1000];
        let set: BlockSet = blocks.into_iter().collect();
        assert_eq!((set.len(), set.is_empty()), (4, false));
        for block in 0..2000 {
            assert_eq!(set.contains(block), blocks.contains(&block), "{block}");
        }
        assert!(!set.contains(u32::MAX) && BlockSet::new().is_empty());
        assert!(set.iter().eq(blocks));
        assert_eq!(
            (set.next(1), set.next(64), set.next(65), set.next(1001)),
            (Some(63), Some(64), Some(1000), None)
        );
        let mut less = set;
        less.remove(64);
        less.remove(5000);
        assert!(less.iter().eq([0, 63, 1000]));
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one run is what is meant")]
    fn runs_outside_leave_out_what_is_in_the_set_unless_it_is_short() {
        let runs = |blocks: &[u32], end, near| -> Vec<Range<u32>> {
            let set: BlockSet = blocks.iter().copied().collect();
            set.runs_outside(end, near).collect()
        };
        assert_eq!(runs(&[], 0, 0), []);
        assert_eq!(runs(&[], 5, 0), [0..5]);
        assert_eq!(runs(&[0, 1, 2], 3, 0), []);
        assert_eq!(runs(&[1, 2, 64, 127], 130, 0), [0..1, 3..64, 65..127, 128..130]);
        assert_eq!(runs(&[1, 2, 64, 127], 130, 1), [0..1, 3..130]);
        assert_eq!(runs(&[1, 2, 64, 127], 130, 2), [0..130]);
        assert_eq!(runs(&[62, 63, 500], 64, 8), [0..62]);
        assert_eq!(runs(&[0, 500], 100, 0), [1..100]);
    }

    proptest::proptest! {
        #[test]
        fn every_block_is_in_the_set_or_in_a_run(
            blocks in proptest::collection::btree_set(0_u32..300, 0..200),
            end in 0_u32..300,
        ) {
            let set: BlockSet = blocks.iter().copied().collect();
            let outside: Vec<u32> = set.runs_outside(end, 0).flatten().collect();
            let wanted: Vec<u32> = (0..end).filter(|block| !blocks.contains(block)).collect();
            proptest::prop_assert_eq!(outside, wanted);
        }
    }
}
