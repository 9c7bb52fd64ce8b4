//! A set of blocks of a slot.

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
    }
}
