//! Finds what new bytes are made of by eight bytes that are the same: in a tenth of the time of a suffix array, and in a fraction of its
//! memory, for texts so long that most of what moved is found anyway.

use super::{
    matching::OldText,
    ops::{Op, Ops},
};

/// Every how many old bytes an anchor begins: instructions of aarch64 begin there, and much of x86_64's.
const STRIDE: usize = 4;
/// Steps that have fewer bytes more that are the same than are different aren't worth it.
const LEAST_GAIN: i64 = 24;
/// Different bytes, less the same ones among them, after which a step ends where it was best.
const MOST_LOST: i64 = 10;

/// What a step may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// Old bytes that are the same: all that packed content has in common.
    Same,
    /// Old bytes of which most are the same.
    Alike,
}

impl OldText {
    /// The ops that make `new`, all of it.
    pub(super) fn anchored(&self, new: &[u8], likeness: Likeness) -> Ops {
        let search = Search {
            anchors: Anchors::of(self.bytes()),
            old: self.bytes(),
            new,
            most_lost: match likeness {
                Likeness::Same => 0,
                Likeness::Alike => MOST_LOST,
            },
        };
        let mut ops = Ops::default();
        let (mut done, mut at, mut expected) = (0, 0, Some(0));
        while let Some(word) = word(new, at) {
            let Some(step) = search.step(word, at, done, expected) else {
                at += 1;
                expected = expected.map(|place| place + 1);
                continue;
            };
            ops.push(Op::Extra((step.new - done) as u64));
            self.add(step.old, step.len, &mut ops);
            done = step.new + step.len;
            at = done;
            expected = Some(step.old + step.len);
        }
        ops.push(Op::Extra((new.len() - done) as u64));
        ops
    }
}

/// Old and new bytes that are alike.
struct Step {
    old: usize,
    new: usize,
    len: usize,
}

struct Search<'a> {
    anchors: Anchors,
    old: &'a [u8],
    new: &'a [u8],
    most_lost: i64,
}

impl Search<'_> {
    /// The step around the `word` that begins at `at` in the new bytes, none of them before `done`; one that goes on like the last is
    /// the best.
    fn step(&self, word: u64, at: usize, done: usize, expected: Option<usize>) -> Option<Step> {
        let places = [expected, self.anchors.place_of(word)];
        places.into_iter().flatten().find_map(|place| {
            if self::word(self.old, place) != Some(word) {
                return None;
            }
            let old = self.old.iter().take(place).rev();
            let new = self.new.iter().take(at).skip(done).rev();
            let (before, gain) = self.best(old.zip(new));
            let behind = self.old.iter().skip(place).zip(self.new.iter().skip(at));
            let (behind, more) = self.best(behind);
            (gain + more >= LEAST_GAIN).then_some(Step {
                old: place - before,
                new: at - before,
                len: before + behind,
            })
        })
    }

    /// How many pairs are best taken, and how many more of them are the same than are different.
    fn best<'p>(&self, pairs: impl Iterator<Item = (&'p u8, &'p u8)>) -> (usize, i64) {
        let (mut gain, mut best) = (0, (0, 0));
        for (len, (old, new)) in (1..).zip(pairs) {
            gain += if old == new { 1 } else { -1 };
            if gain > best.1 {
                best = (len, gain);
            }
            if gain < best.1 - self.most_lost {
                break;
            }
        }
        best
    }
}

/// Eight bytes, as a number.
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Where in a text each eight bytes that begin at a stride are first.
struct Anchors {
    /// By the word's hash: one and the number of the stride, 0 for none.
    places: Vec<u32>,
    shift: u32,
}

impl Anchors {
    fn of(old: &[u8]) -> Self {
        let count = old.len() / STRIDE;
        let bits = (count * 2).next_power_of_two().ilog2().max(1);
        let mut anchors = Self {
            places: vec![0; 1 << bits],
            shift: u64::BITS - bits,
        };
        let words = (0..).step_by(STRIDE).map_while(|at| word(old, at));
        for (number, word) in (1..).zip(words) {
            let place = anchors.slot(word);
            if let Some(place) = anchors.places.get_mut(place).filter(|place| **place == 0) {
                *place = number;
            }
        }
        anchors
    }

    /// Fibonacci hashing: the upper bits of a product.
    fn slot(&self, word: u64) -> usize {
        usize::try_from(word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift).unwrap_or(0)
    }

    /// Where a word may be.
    fn place_of(&self, word: u64) -> Option<usize> {
        let number = self.places.get(self.slot(word))?.checked_sub(1)?;
        Some(number as usize * STRIDE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::matching::testing::{check, noise, text},
        *,
    };

    /// Bytes that the ops take from the old.
    fn added(ops: &Ops) -> u64 {
        let is_add = |op: &Op| matches!(op, Op::Add { .. });
        ops.iter().filter(is_add).map(Op::len).sum()
    }

    #[test]
    fn what_is_the_same_is_found_wherever_it_lies() {
        let (first, second) = (noise(1, 9000), noise(2, 7000));
        let new = [
            noise(5, 501),
            second[1003..].to_vec(),
            noise(7, 77),
            first[..8003].to_vec(),
        ]
        .concat();
        let old = [(4096, first), (1 << 20, second)];
        let ops = text(&old).anchored(&new, Likeness::Same);
        let shared = added(&ops);
        assert!((5997 + 8003..5997 + 8003 + 8).contains(&shared), "{shared}");
        assert_eq!(check(&old, &new, &ops) as u64, shared);
    }

    #[test]
    fn what_moved_is_found_though_every_tenth_byte_changed_where_that_may_be() {
        let first = noise(1, 9000);
        let mut changed = first[1001..8000].to_vec();
        for at in (50..changed.len()).step_by(20) {
            changed[at] ^= 0x40;
            changed[at + 1] ^= 0x40;
        }
        let new = [noise(3, 500), changed].concat();
        let old = [(4096, first)];
        let ops = text(&old).anchored(&new, Likeness::Alike);
        assert!(check(&old, &new, &ops) > 6200);
        assert!(ops.iter().count() < 5);
        let ops = text(&old).anchored(&new, Likeness::Same);
        assert_eq!(check(&old, &new, &ops) as u64, added(&ops));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn ops_make_all_new_bytes_from_old_ones_that_are_there(
            old in proptest::collection::vec(proptest::collection::vec(0..3_u8, 1..200), 1..4),
            new in proptest::collection::vec(0..3_u8, 0..400),
        ) {
            let old: Vec<(u64, Vec<u8>)> = (0..).zip(old).map(|(number, bytes)| (number * 1000_u64, bytes)).collect();
            let ops = text(&old).anchored(&new, Likeness::Same);
            prop_assert_eq!(check(&old, &new, &ops) as u64, added(&ops));
            check(&old, &new, &text(&old).anchored(&new, Likeness::Alike));
        }
    }
}
