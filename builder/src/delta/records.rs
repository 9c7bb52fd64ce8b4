//! Finds in old sequences what new ones are made of.
//!
//! Where code moved, a sequence's lengths stay and its offset changes. So sequences are looked for by their lengths alone, and bsdiff's
//! differences take care of the rest. Its own search looks at single bytes, most of which are zeros here: it takes ten times as long.

use super::{
    matching::OldText,
    ops::{Op, Ops},
};

/// Bytes of a sequence.
const RECORD_BYTES: usize = 8;
/// Sequences in a row whose lengths must be the same for them to be taken for the same.
const ANCHOR: usize = 6;
/// Steps of more differences than this of the last eight sequences lead nowhere.
const MOST_WRONG: u32 = 5;

impl OldText {
    /// The ops that make `new`, whole records of sequences, of old ones.
    pub(super) fn records(&self, new: &[u8]) -> Ops {
        let (old, new_keys) = (keys(self.bytes()), keys(new));
        let anchors = Anchors::of(&old);
        let mut ops = Ops::default();
        let (mut done, mut at, mut expected) = (0, 0, 0);
        while at + ANCHOR <= new_keys.len() {
            let Some(place) = anchors.nearest(&old, &new_keys, at, expected) else {
                at += 1;
                continue;
            };
            let back = before(&old, &new_keys, place, at, done);
            let len = behind(&old, &new_keys, place, at);
            ops.push(Op::Extra(((at - back - done) * RECORD_BYTES) as u64));
            self.add(
                (place - back) * RECORD_BYTES,
                (back + len) * RECORD_BYTES,
                &mut ops,
            );
            at += len;
            expected = place + len;
            done = at;
        }
        ops.push(Op::Extra((new.len() - done * RECORD_BYTES) as u64));
        ops
    }
}

/// The lengths of each sequence: the first half of its record.
fn keys(records: &[u8]) -> Vec<u32> {
    let records = records.as_chunks::<RECORD_BYTES>().0.iter();
    records
        .map(|[a, b, c, d, ..]| u32::from_le_bytes([*a, *b, *c, *d]))
        .collect()
}

/// How many sequences from here on are best taken together: as many as are the same, twice counted, are more than there are.
fn behind(old: &[u32], new: &[u32], place: usize, at: usize) -> usize {
    let old = old.iter().skip(place);
    best(old.zip(new.iter().skip(at)).map(|(old, new)| old == new))
}

/// The same before here, but not before `done`.
fn before(old: &[u32], new: &[u32], place: usize, at: usize, done: usize) -> usize {
    let old = old.iter().take(place).rev();
    let new = new.iter().take(at).skip(done).rev();
    best(old.zip(new).map(|(old, new)| old == new))
}

fn best(same: impl Iterator<Item = bool>) -> usize {
    let (mut score, mut best_score, mut best_len, mut last) = (0_i64, 0, 0, u8::MAX);
    for (len, same) in (1..).zip(same) {
        score += if same { 1 } else { -1 };
        last = last << 1 | u8::from(same);
        if score > best_score {
            (best_score, best_len) = (score, len);
        }
        if last.count_zeros() > MOST_WRONG {
            break;
        }
    }
    best_len
}

/// Where old sequences are, by their lengths and those of the ones behind them.
struct Anchors {
    /// Hash and place, sorted.
    places: Vec<(u32, u32)>,
}

impl Anchors {
    fn of(old: &[u32]) -> Self {
        let mut places: Vec<(u32, u32)> = (0..)
            .zip(old.windows(ANCHOR))
            .map(|(place, keys)| (hash(keys), place))
            .collect();
        places.sort_unstable();
        Self { places }
    }

    /// The place nearest to `expected` whose lengths are those of the new ones from `at` on.
    fn nearest(&self, old: &[u32], new: &[u32], at: usize, expected: usize) -> Option<usize> {
        let wanted = new.get(at..at + ANCHOR)?;
        let hash = hash(wanted);
        let expected = u32::try_from(expected).unwrap_or(u32::MAX);
        let middle = self.places.partition_point(|place| *place < (hash, expected));
        let (lower, upper) = self.places.split_at_checked(middle)?;
        let near = [lower.last(), upper.first()].into_iter().flatten();
        near.filter(|(there, _)| *there == hash)
            .filter(|(_, place)| {
                old.get(*place as usize..)
                    .is_some_and(|old| old.starts_with(wanted))
            })
            .min_by_key(|(_, place)| place.abs_diff(expected))
            .map(|(_, place)| *place as usize)
    }
}

fn hash(keys: &[u32]) -> u32 {
    let mixed = keys.iter().fold(0_u64, |hash, key| {
        (hash.rotate_left(5) ^ u64::from(*key)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    u32::try_from(mixed >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records whose lengths no others have, and offsets.
    fn records(numbers: impl Iterator<Item = u32>, moved: u32) -> Vec<u8> {
        numbers
            .flat_map(|number| [number.wrapping_mul(2_654_435_761), number * 64 + moved])
            .flat_map(u32::to_le_bytes)
            .collect()
    }

    #[test]
    fn sequences_are_found_where_others_were_put_in_and_offsets_changed() {
        let old = records(0..1000, 0);
        let new = [records(0..300, 0), records(2000..2003, 0), records(300..1000, 64)].concat();
        let mut text = OldText::default();
        text.push(100, &old);
        let ops: Vec<Op> = text.records(&new).iter().collect();
        assert_eq!(
            ops,
            [
                Op::Add { old: 100, len: 2400 },
                Op::Extra(24),
                Op::Add { old: 2500, len: 5600 }
            ]
        );
    }

    #[test]
    fn all_new_sequences_are_made_whatever_the_old_ones_are() {
        for (old, new) in [(0, 0), (0, 50), (50, 0), (3, 3), (7, 50)] {
            let mut text = OldText::default();
            text.push(0, &records(0..old, 0));
            let new = records(100..100 + new, 0);
            assert_eq!(text.records(&new).len(), new.len() as u64);
            assert_eq!(text.records(&records(0..old, 9)).len(), u64::from(old) * 8);
        }
    }
}
