//! Finds in old bytes what new ones are made of: bsdiff's search over a suffix array.

use std::{convert::Infallible, ops::Range};

use bidiff::{DiffParams, Match};

use super::ops::{Op, Ops};

/// Longest old text that gets one suffix array, of four bytes each: longer ones are looked at in windows.
const MAX_OLD_BYTES: usize = 96 << 20;
/// New bytes for which one window of a long old text is looked at.
const WINDOW_BYTES: usize = 48 << 20;
/// New bytes that one thread looks for; a match ends where they end, whichever threads there are.
const PART_BYTES: usize = 4 << 20;
/// How far beside its own place new content is looked for in a long old text.
const BESIDE_BYTES: usize = 16 << 20;

/// Old bytes that may lie in several places of their payload.
#[derive(Debug, Clone, Default)]
pub(super) struct OldText {
    bytes: Vec<u8>,
    /// Where each piece begins in `bytes`, and in the payload; ascending.
    pieces: Vec<(usize, u64)>,
}

impl OldText {
    /// Appends bytes that lie at `at` in the payload.
    pub(super) fn push(&mut self, at: u64, bytes: &[u8]) {
        self.pieces.push((self.bytes.len(), at));
        self.bytes.extend_from_slice(bytes);
    }

    /// All of them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The ops that make `new`, all of it.
    pub(super) fn ops(&self, new: &[u8]) -> Ops {
        let mut ops = Ops::default();
        if self.bytes.is_empty() {
            ops.push(Op::Extra(new.len() as u64));
        } else if self.bytes.len() <= MAX_OLD_BYTES {
            self.search(0..self.bytes.len(), new, &mut ops);
        } else {
            for (number, part) in new.chunks(WINDOW_BYTES).enumerate() {
                self.search(self.window(number), part, &mut ops);
            }
        }
        ops
    }

    /// How many of the new bytes that `ops` make are the same as the old ones that they are made of.
    pub(super) fn same_bytes(&self, ops: &Ops, new: &[u8]) -> u64 {
        let (mut same, mut at) = (0, 0);
        for op in ops.iter() {
            let len = usize::try_from(op.len()).unwrap_or(usize::MAX);
            if let Op::Add { old, .. } = op {
                let old = self.bytes.iter().skip(self.place(old));
                let pairs = old.zip(new.iter().skip(at).take(len));
                same += pairs.filter(|(old, new)| old == new).count() as u64;
            }
            at = at.saturating_add(len);
        }
        same
    }

    /// Where a byte of the payload is in the text.
    fn place(&self, at: u64) -> usize {
        let pieces = self.pieces.iter().rev();
        let inside = pieces.filter_map(|(start, place)| Some((start, at.checked_sub(*place)?)));
        let (start, offset) = inside.min_by_key(|(_, offset)| *offset).unwrap_or((&0, 0));
        start.saturating_add(usize::try_from(offset).unwrap_or(usize::MAX))
    }

    /// What is looked at for a part of the new bytes.
    fn window(&self, number: usize) -> Range<usize> {
        let at = number.saturating_mul(WINDOW_BYTES).min(self.bytes.len());
        let end = at
            .saturating_add(WINDOW_BYTES + BESIDE_BYTES)
            .min(self.bytes.len());
        // Behind the end of the old bytes the last window is looked at again.
        let start = at
            .saturating_sub(BESIDE_BYTES)
            .min(end.saturating_sub(WINDOW_BYTES));
        start..end
    }

    fn search(&self, window: Range<usize>, new: &[u8], ops: &mut Ops) {
        let start = window.start;
        let old = self.bytes.get(window).unwrap_or_default();
        let Some(params) = DiffParams::new(1, Some(PART_BYTES)).ok() else {
            ops.push(Op::Extra(new.len() as u64));
            return;
        };
        let found: Result<(), Infallible> = bidiff::diff(old, new, &params, |found: Match| {
            self.add(start + found.add_old_start, found.add_length, ops);
            let extra = found.copy_end - (found.add_new_start + found.add_length);
            ops.push(Op::Extra(extra as u64));
            Ok(())
        });
        match found {
            Ok(()) => {}
        }
    }

    /// Appends old bytes, piece by piece.
    pub(super) fn add(&self, mut at: usize, len: usize, ops: &mut Ops) {
        let end = at + len;
        while at < end {
            let piece = self.pieces.partition_point(|(start, _)| *start <= at);
            let next = self.pieces.get(piece).map_or(end, |(start, _)| (*start).min(end));
            let here = piece.checked_sub(1).and_then(|piece| self.pieces.get(piece));
            let Some((start, place)) = here else { return };
            ops.push(Op::Add {
                old: place + (at - start) as u64,
                len: (next - at) as u64,
            });
            at = next;
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// What the ops make, when differences and extra bytes are taken from `new`: its length, and how many bytes they share with the old.
    pub(in crate::delta) fn check(old: &[(u64, Vec<u8>)], new: &[u8], ops: &Ops) -> usize {
        let (mut at, mut shared) = (0_usize, 0);
        for op in ops.iter() {
            let len = usize::try_from(op.len()).unwrap();
            if let Op::Add { old: from, .. } = op {
                let (place, bytes) = old.iter().rev().find(|(place, _)| *place <= from).unwrap();
                let from = usize::try_from(from - place).unwrap();
                let there = &bytes[from..from + len];
                shared += there
                    .iter()
                    .zip(&new[at..at + len])
                    .filter(|(a, b)| a == b)
                    .count();
            }
            at += len;
        }
        assert_eq!(at, new.len());
        shared
    }

    pub(in crate::delta) fn text(old: &[(u64, Vec<u8>)]) -> OldText {
        let mut text = OldText::default();
        old.iter().for_each(|(at, bytes)| text.push(*at, bytes));
        text
    }

    pub(in crate::delta) fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()[6]
        };
        (0..len).map(|_| byte()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        testing::{check, noise, text},
        *,
    };

    #[test]
    fn what_moved_and_what_changed_a_little_is_found_in_whichever_piece_it_lies() {
        let (first, second) = (noise(1, 9000), noise(2, 7000));
        let mut changed = first[1000..8000].to_vec();
        for at in (0..changed.len()).step_by(200) {
            changed[at] ^= 0x40;
        }
        let new = [noise(3, 500), second.clone(), changed].concat();
        let old = [(4096, first), (1 << 20, second)];
        let shared = check(&old, &new, &text(&old).ops(&new));
        assert!(shared > 13_000, "{shared}");
    }

    #[test]
    fn from_nothing_everything_is_extra() {
        let ops: Vec<Op> = OldText::default().ops(&[7; 100]).iter().collect();
        assert_eq!(ops, [Op::Extra(100)]);
    }

    #[test]
    fn windows_of_a_long_old_text_lie_in_it() {
        let mut long = OldText::default();
        long.bytes.resize(MAX_OLD_BYTES + 5, 0);
        for number in 0..9 {
            let window = long.window(number);
            assert!(
                window.start < window.end && window.end <= long.bytes.len(),
                "{window:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn ops_make_all_new_bytes_from_old_ones_that_are_there(
            old in proptest::collection::vec(proptest::collection::vec(0..3_u8, 1..200), 1..4),
            new in proptest::collection::vec(0..3_u8, 0..400),
        ) {
            let old: Vec<(u64, Vec<u8>)> = (0..).zip(old).map(|(number, bytes)| (number * 1000_u64, bytes)).collect();
            check(&old, &new, &text(&old).ops(&new));
        }
    }
}
