//! What new bytes are made of: steps over old bytes, and bytes that are nowhere in them.

use std::collections::VecDeque;

/// Some new bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// Old bytes from here on, plus differences.
    Add {
        /// First old byte.
        old: u64,
        /// How many.
        len: u64,
    },
    /// Bytes that are written out.
    Extra(u64),
}

impl Op {
    /// New bytes that it makes.
    pub(super) const fn len(self) -> u64 {
        match self {
            Self::Add { len, .. } | Self::Extra(len) => len,
        }
    }

    /// The first `count` bytes, and what is left.
    fn split(self, count: u64) -> (Self, Option<Self>) {
        if count >= self.len() {
            return (self, None);
        }
        match self {
            Self::Add { old, len } => (
                Self::Add { old, len: count },
                Some(Self::Add {
                    old: old + count,
                    len: len - count,
                }),
            ),
            Self::Extra(len) => (Self::Extra(count), Some(Self::Extra(len - count))),
        }
    }
}

/// Ops in the order of the new bytes that they make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ops(VecDeque<Op>);

impl Ops {
    /// Appends an op; one that goes on like the last joins it.
    pub(super) fn push(&mut self, op: Op) {
        if op.len() == 0 {
            return;
        }
        match (self.0.back_mut(), op) {
            (Some(Op::Extra(last)), Op::Extra(len)) => *last += len,
            (Some(Op::Add { old, len: last }), Op::Add { old: next, len }) if *old + *last == next => {
                *last += len;
            }
            _ => self.0.push_back(op),
        }
    }

    /// Takes the ops of the next `count` new bytes out.
    pub(super) fn take(&mut self, mut count: u64) -> Self {
        let mut taken = Self::default();
        while count > 0 {
            let Some(op) = self.0.pop_front() else { break };
            let (now, later) = op.split(count);
            count -= now.len();
            taken.push(now);
            if let Some(later) = later {
                self.0.push_front(later);
            }
        }
        taken
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Op> + '_ {
        self.0.iter().copied()
    }

    /// New bytes that all make.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.iter().map(Op::len).sum()
    }
}

/// Ops of bytes that are nowhere.
pub(super) fn all_extra(len: u64) -> Ops {
    let mut ops = Ops::default();
    ops.push(Op::Extra(len));
    ops
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ops_that_go_on_like_the_last_join_it_and_empty_ones_are_left_out() {
        let mut ops = Ops::default();
        for op in [
            Op::Extra(2),
            Op::Extra(3),
            Op::Add { old: 7, len: 1 },
            Op::Extra(0),
            Op::Add { old: 8, len: 2 },
            Op::Add { old: 1, len: 1 },
        ] {
            ops.push(op);
        }
        let all: Vec<Op> = ops.iter().collect();
        assert_eq!(
            all,
            [
                Op::Extra(5),
                Op::Add { old: 7, len: 3 },
                Op::Add { old: 1, len: 1 }
            ]
        );
    }

    proptest! {
        #[test]
        fn ops_cut_anywhere_make_the_same_bytes(lens in proptest::collection::vec(1..50_u64, 1..20), cut in 1..60_u64) {
            let mut ops = Ops::default();
            for (number, len) in (0_u64..).zip(&lens) {
                ops.push(if number % 2 == 0 { Op::Extra(*len) } else { Op::Add { old: number * 100, len: *len } });
            }
            let (whole, total) = (ops.clone(), ops.len());
            let mut again = Ops::default();
            let mut left = total;
            while left > 0 {
                let piece = ops.take(cut);
                prop_assert_eq!(piece.len(), cut.min(left));
                left -= piece.len();
                piece.iter().for_each(|op| again.push(op));
            }
            prop_assert_eq!(&again, &whole);
            prop_assert_eq!(ops.take(5).len(), 0);
            let mut kept = again.clone();
            prop_assert_eq!(kept.take(0).len(), 0);
            prop_assert_eq!(kept, again);
        }
    }
}
