//! Which bytes of the bundle are asked for together.

/// Some of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

/// What asking costs besides the bytes that are wanted, in bytes that could be fetched meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overheads {
    /// A range in a request: its place in the request, and the head of its part in the answer.
    pub part: u64,
    /// A request.
    pub request: u64,
    /// Ranges that fit into a request.
    pub ranges: usize,
}

impl ByteRange {
    /// How many bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl Overheads {
    /// A server that gives several ranges at a time. 64 of them make the longest line of a request that servers take.
    pub const SEVERAL: Self = Self {
        part: 256,
        request: 64 << 10,
        ranges: 64,
    };
    /// A server that gives one range at a time.
    pub const SINGLE: Self = Self {
        part: 0,
        request: 64 << 10,
        ranges: 1,
    };
}

/// Ascending ranges, those without anything between them as one.
#[must_use]
pub fn joined(ranges: impl IntoIterator<Item = ByteRange>) -> Vec<ByteRange> {
    let mut joined: Vec<ByteRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// The requests for ascending ranges that cost least. What lies between two ranges is fetched along when that costs less than a
/// part of its own, or when it saves a whole request. Planner and source ask here, so that a plan's figures come true.
#[must_use]
pub fn requests(ranges: &[ByteRange], overheads: &Overheads) -> Vec<Vec<ByteRange>> {
    let ranges = joined(ranges.iter().copied());
    let is_bridged = bridged(&ranges, overheads);
    let mut parts: Vec<ByteRange> = Vec::new();
    for (range, is_bridged) in ranges.into_iter().zip(is_bridged) {
        match parts.last_mut() {
            Some(last) if is_bridged => last.end = range.end,
            _ => parts.push(range),
        }
    }
    parts
        .chunks(overheads.ranges.max(1))
        .map(<[ByteRange]>::to_vec)
        .collect()
}

/// For each range, whether the gap before it is fetched along. Bridging the smallest gaps first, as many as make the whole cheapest.
fn bridged(ranges: &[ByteRange], overheads: &Overheads) -> Vec<bool> {
    let mut gaps: Vec<(u64, usize)> = ranges
        .windows(2)
        .zip(1..)
        .filter_map(|(pair, number)| Some((pair.last()?.start - pair.first()?.end, number)))
        .collect();
    gaps.sort_unstable();
    let cost = |parts: usize, gaps: u64| {
        let requests = parts.div_ceil(overheads.ranges.max(1)) as u64;
        let heads = (parts as u64).saturating_mul(overheads.part);
        let asked = requests.saturating_mul(overheads.request);
        gaps.saturating_add(heads).saturating_add(asked)
    };
    let (mut best, mut least) = (0, cost(ranges.len(), 0));
    let mut fetched_along = 0_u64;
    for (bridges, (gap, _)) in gaps.iter().enumerate().map(|(index, gap)| (index + 1, gap)) {
        fetched_along = fetched_along.saturating_add(*gap);
        let now = cost(ranges.len() - bridges, fetched_along);
        if now <= least {
            (best, least) = (bridges, now);
        }
    }
    let mut is_bridged = vec![false; ranges.len()];
    for (_, number) in gaps.iter().take(best) {
        if let Some(bridge) = is_bridged.get_mut(*number) {
            *bridge = true;
        }
    }
    is_bridged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OVERHEADS: Overheads = Overheads {
        part: 10,
        request: 100,
        ranges: 3,
    };

    fn asked(ranges: &[(u64, u64)], overheads: &Overheads) -> Vec<Vec<(u64, u64)>> {
        let ranges: Vec<ByteRange> = ranges
            .iter()
            .map(|&(start, end)| ByteRange { start, end })
            .collect();
        let pairs = |request: Vec<ByteRange>| request.iter().map(|range| (range.start, range.end)).collect();
        requests(&ranges, overheads).into_iter().map(pairs).collect()
    }

    #[test]
    fn gaps_that_cost_less_than_a_part_are_fetched_along_and_others_are_not() {
        assert_eq!(asked(&[], &OVERHEADS), Vec::<Vec<_>>::new());
        assert_eq!(asked(&[(0, 5), (5, 7), (17, 20)], &OVERHEADS), [[(0, 20)]]);
        assert_eq!(asked(&[(0, 5), (16, 20)], &OVERHEADS), [[(0, 5), (16, 20)]]);
    }

    #[test]
    fn a_request_is_saved_by_its_smallest_gaps_when_they_cost_less() {
        // Four parts are two requests; one bridge of 50 costs less than a request.
        let few = [(0, 1), (1000, 1001), (1051, 1052), (2000, 2001)];
        assert_eq!(asked(&few, &OVERHEADS), [[(0, 1), (1000, 1052), (2000, 2001)]]);
        let far = [(0, 1), (1000, 1001), (2000, 2001), (3000, 3001)];
        assert_eq!(asked(&far, &OVERHEADS).len(), 2);
        // Where each range is a request, a gap may be as long as one.
        let single = Overheads {
            part: 0,
            ranges: 1,
            ..OVERHEADS
        };
        assert_eq!(
            asked(&[(0, 1), (101, 102), (203, 204)], &single),
            [[(0, 102)], [(203, 204)]]
        );
    }

    proptest! {
        /// No other choice of gaps is cheaper, and every byte that is wanted is asked for.
        #[test]
        fn nothing_cheaper_asks_for_all_that_is_wanted(
            lengths in proptest::collection::vec((0..60_u64, 1..20_u64), 1..9),
            part in 0..20_u64, request in 0..200_u64, ranges in 1..4_usize,
        ) {
            let overheads = Overheads { part, request, ranges };
            let mut at = 0;
            let wanted: Vec<ByteRange> = lengths.iter().map(|(gap, len)| {
                let start = at + gap;
                at = start + len;
                ByteRange { start, end: at }
            }).collect();
            let cost = |requests: &[Vec<ByteRange>]| {
                let parts: Vec<&ByteRange> = requests.iter().flatten().collect();
                parts.iter().map(|range| range.bytes() + part).sum::<u64>() + requests.len() as u64 * request
            };
            let found = requests(&wanted, &overheads);
            for range in &wanted {
                prop_assert!(found.iter().flatten().any(|asked| asked.start <= range.start && range.end <= asked.end));
            }
            let least = (0..1_u32 << (wanted.len() - 1)).map(|choice| {
                let mut parts = vec![wanted[0]];
                for (number, range) in wanted.iter().enumerate().skip(1) {
                    if choice >> (number - 1) & 1 == 1 {
                        parts.last_mut().unwrap().end = range.end;
                    } else {
                        parts.push(*range);
                    }
                }
                cost(&parts.chunks(ranges).map(<[ByteRange]>::to_vec).collect::<Vec<_>>())
            }).min();
            prop_assert_eq!(Some(cost(&found)), least);
        }
    }
}
