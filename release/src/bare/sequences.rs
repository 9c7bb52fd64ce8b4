//! A block's sequences: so many literals, then a match. Source: RFC 8878, 3.1.1.3.2.

use super::{
    BareError,
    bits::{Backwards, BitWriter},
    fse::{Decoder, Encoder, Limits, Table},
};

/// Bytes of a sequence in the bare form.
pub(super) const SEQUENCE_BYTES: usize = 8;
/// Shortest match.
const MIN_MATCH: u32 = 3;
/// Offsets in the bare form have fewer bits.
const OFFSET_BITS: u32 = 30;

/// First values of codes, and the bits that are added.
type Ranges = &'static [(u32, u32)];

/// Source: RFC 8878, table 16. Codes before these are their own values.
const LITERALS: Ranges = &[
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];
/// Source: RFC 8878, table 17.
const MATCHES: Ranges = &[
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];
/// First code that is in the table, and what a code before is less than its value.
const LITERALS_DIRECT: (u32, u32) = (16, 0);
const MATCHES_DIRECT: (u32, u32) = (32, MIN_MATCH);

/// Source: RFC 8878, 3.1.1.3.2.2.
const DEFAULT_LITERALS: [i16; 36] = [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1,
    -1, -1,
];
const DEFAULT_MATCHES: [i16; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const DEFAULT_OFFSETS: [i16; 29] = [
    1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
];

/// What is coded of a sequence, in the order of their tables.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Literals,
    Offset,
    Match,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Literals, Self::Offset, Self::Match];

    const fn limits(self) -> Limits {
        let (log, symbols) = match self {
            Self::Literals => (9, 36),
            Self::Offset => (8, 32),
            Self::Match => (9, 53),
        };
        Limits { log, symbols }
    }

    fn default_table(self) -> Result<Table, BareError> {
        match self {
            Self::Literals => Table::new(&DEFAULT_LITERALS, 6),
            Self::Offset => Table::new(&DEFAULT_OFFSETS, 5),
            Self::Match => Table::new(&DEFAULT_MATCHES, 6),
        }
    }
}

/// The tables of the last block that had sequences.
#[derive(Debug, Default)]
pub(super) struct Tables {
    literals: Option<Table>,
    offset: Option<Table>,
    matched: Option<Table>,
}

impl Tables {
    const fn of(&mut self, kind: Kind) -> &mut Option<Table> {
        match kind {
            Kind::Literals => &mut self.literals,
            Kind::Offset => &mut self.offset,
            Kind::Match => &mut self.matched,
        }
    }

    /// For literals, offsets, matches.
    fn all(&self) -> Result<[&Table; 3], BareError> {
        let missing = BareError::Damaged("sequences are coded by tables that there aren't");
        match (&self.literals, &self.offset, &self.matched) {
            (Some(literals), Some(offset), Some(matched)) => Ok([literals, offset, matched]),
            _ => Err(missing),
        }
    }
}

/// A sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Literals before the match.
    pub(super) literals: u32,
    /// Length of the match.
    pub(super) matched: u32,
    /// What the stream has: three more than the distance, or one of the last three.
    offset: u32,
}

impl Sequence {
    /// Its bare form: 16 bits of literals, 16 of the match less [`MIN_MATCH`], 30 of the offset, and what both lack: a bit each. None
    /// for an offset that has more.
    fn record(self) -> Option<[u8; SEQUENCE_BYTES]> {
        let matched = u64::from(self.matched - MIN_MATCH);
        let literals = u64::from(self.literals);
        let upper = |length: u64, to: u32| (length >> 16 & 1) << to;
        let offset = u64::from(self.offset) << 32;
        let record =
            literals & 0xffff | (matched & 0xffff) << 16 | offset | upper(literals, 62) | upper(matched, 63);
        (self.offset >> OFFSET_BITS == 0).then(|| record.to_le_bytes())
    }

    pub(super) fn of_record(record: &[u8; SEQUENCE_BYTES]) -> Self {
        let record = u64::from_le_bytes(*record);
        let length = |from: u32, upper: u32| record >> from & 0xffff | (record >> upper & 1) << 16;
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            literals: number(length(0, 62)),
            matched: number(length(16, 63)) + MIN_MATCH,
            offset: number(record >> 32 & ((1 << OFFSET_BITS) - 1)),
        }
    }
}

/// A code, and the bits that are added to it.
#[derive(Debug, Clone, Copy)]
struct Coded {
    code: u8,
    extra: u32,
    bits: u32,
}

/// The code of a length.
fn coded(value: u32, ranges: Ranges, (first, less): (u32, u32)) -> Option<Coded> {
    let direct = value.checked_sub(less)?;
    if direct < first {
        let code = u8::try_from(direct).ok()?;
        return Some(Coded {
            code,
            extra: 0,
            bits: 0,
        });
    }
    let place = ranges
        .partition_point(|(start, _)| *start <= value)
        .checked_sub(1)?;
    let (start, bits) = *ranges.get(place)?;
    let extra = value - start;
    let code = u8::try_from(first as usize + place).ok()?;
    (extra >> bits == 0).then_some(Coded { code, extra, bits })
}

/// First value of a code, and its bits.
fn range(code: u8, ranges: Ranges, (first, less): (u32, u32)) -> Option<(u32, u32)> {
    match u32::from(code).checked_sub(first) {
        None => Some((u32::from(code) + less, 0)),
        Some(place) => ranges.get(place as usize).copied(),
    }
}

/// What the section's header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequences {
    count: usize,
}

const CUT: BareError = BareError::Damaged("a block's sequences end too early");

impl Sequences {
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Reads the header and the tables' descriptions: how many sequences there are, and how long that was.
    pub(super) fn parse(bytes: &[u8], tables: &mut Tables) -> Result<(Self, usize), BareError> {
        let (count, mut used) = match bytes {
            [0, ..] => return Ok((Self { count: 0 }, 1)),
            [first @ 1..=127, ..] => (usize::from(*first), 1),
            [first @ 128..=254, second, ..] => ((usize::from(*first) - 128) << 8 | usize::from(*second), 2),
            [255, low, high, ..] => (usize::from(u16::from_le_bytes([*low, *high])) + 0x7f00, 3),
            _ => return Err(CUT),
        };
        let modes = bytes.get(used).ok_or(CUT)?;
        used += 1;
        if modes & 3 != 0 {
            return Err(BareError::Damaged("a bit that must be zero isn't"));
        }
        for (kind, shift) in Kind::ALL.into_iter().zip([6, 4, 2]) {
            let rest = bytes.get(used..).unwrap_or_default();
            let (table, len) = match modes >> shift & 3 {
                0 => (kind.default_table()?, 0),
                1 => (Table::single(*rest.first().ok_or(CUT)?, kind.limits())?, 1),
                2 => Table::parse(rest, kind.limits())?,
                _ => continue,
            };
            *tables.of(kind) = Some(table);
            used += len;
        }
        Ok((Self { count }, used))
    }

    /// Reads the stream behind: the sequences' records.
    pub(super) fn read(&self, stream: &[u8], tables: &Tables) -> Result<Vec<u8>, BareError> {
        let mut records = Vec::new();
        if self.count == 0 {
            if !stream.is_empty() {
                return Err(BareError::Damaged("a block is longer than what is in it"));
            }
            return Ok(records);
        }
        let [literals, offsets, matches] = tables.all()?;
        let mut bits = Backwards::new(stream)?;
        let mut literals = Decoder::new(literals, &mut bits)?;
        let mut offsets = Decoder::new(offsets, &mut bits)?;
        let mut matches = Decoder::new(matches, &mut bits)?;
        for number in 1..=self.count {
            let damaged = || BareError::Damaged("a code that there isn't");
            let offset_bits = u32::from(offsets.symbol()?);
            let (matched, match_bits) =
                range(matches.symbol()?, MATCHES, MATCHES_DIRECT).ok_or_else(damaged)?;
            let (literal, literal_bits) =
                range(literals.symbol()?, LITERALS, LITERALS_DIRECT).ok_or_else(damaged)?;
            let offset = 1_u32.checked_shl(offset_bits).ok_or_else(damaged)? + bits.read(offset_bits)?;
            let matched = matched + bits.read(match_bits)?;
            let literals_here = literal + bits.read(literal_bits)?;
            let sequence = Sequence {
                literals: literals_here,
                matched,
                offset,
            };
            let record = sequence.record();
            records.extend(record.ok_or(BareError::Damaged("an offset is too long"))?);
            if number < self.count {
                let all = [&mut literals, &mut matches, &mut offsets];
                for decoder in all {
                    if !decoder.next(&mut bits)? {
                        return Err(CUT);
                    }
                }
            }
        }
        bits.end()?;
        Ok(records)
    }

    /// Appends the stream that the sequences' records make, as zstd does.
    pub(super) fn write(&self, records: &[u8], tables: &Tables, out: &mut Vec<u8>) -> Result<(), BareError> {
        let mut sequences = records.as_chunks().0.iter().map(Sequence::of_record).rev();
        let Some(last) = sequences.next() else {
            return Ok(());
        };
        let [literals, offsets, matches] = tables.all()?;
        let mut stream = BitWriter::default();
        let codes = Codes::of(last)?;
        let mut literals = Encoder::new(literals, codes.literals.code)?;
        let mut offsets = Encoder::new(offsets, codes.offset.code)?;
        let mut matches = Encoder::new(matches, codes.matched.code)?;
        codes.put_extra(&mut stream);
        for sequence in sequences {
            let codes = Codes::of(sequence)?;
            offsets.put(codes.offset.code, &mut stream)?;
            matches.put(codes.matched.code, &mut stream)?;
            literals.put(codes.literals.code, &mut stream)?;
            codes.put_extra(&mut stream);
        }
        [&matches, &offsets, &literals]
            .into_iter()
            .for_each(|encoder| encoder.finish(&mut stream));
        out.extend(stream.finish());
        Ok(())
    }
}

/// The codes of a sequence.
struct Codes {
    literals: Coded,
    offset: Coded,
    matched: Coded,
}

impl Codes {
    fn of(sequence: Sequence) -> Result<Self, BareError> {
        let bits = sequence.offset.checked_ilog2();
        let offset = bits.map(|bits| Coded {
            // At most 29.
            code: u8::try_from(bits).unwrap_or(0),
            extra: sequence.offset - (1 << bits),
            bits,
        });
        let literals = coded(sequence.literals, LITERALS, LITERALS_DIRECT);
        let matched = coded(sequence.matched, MATCHES, MATCHES_DIRECT);
        match (literals, offset, matched) {
            (Some(literals), Some(offset), Some(matched)) => Ok(Self {
                literals,
                offset,
                matched,
            }),
            _ => Err(BareError::Damaged("a sequence that has no code")),
        }
    }

    fn put_extra(&self, out: &mut BitWriter) {
        for coded in [self.literals, self.matched, self.offset] {
            out.put(coded.extra, coded.bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_length_has_the_code_that_reads_as_it(value in 0..131_072_u32) {
            for (ranges, direct, value) in [(LITERALS, LITERALS_DIRECT, value), (MATCHES, MATCHES_DIRECT, value + MIN_MATCH)] {
                let found = coded(value, ranges, direct).unwrap();
                let (first, bits) = range(found.code, ranges, direct).unwrap();
                prop_assert_eq!((first + found.extra, bits), (value, found.bits));
            }
        }

        #[test]
        fn sequences_survive_being_records(literals in 0..131_072_u32, matched in 3..131_075_u32, offset in 0..1_u32 << 30) {
            let sequence = Sequence { literals, matched, offset };
            prop_assert_eq!(Sequence::of_record(&sequence.record().unwrap()), sequence);
        }
    }

    #[test]
    fn an_offset_that_is_too_long_has_no_record() {
        let sequence = Sequence {
            literals: 0,
            matched: 3,
            offset: 1 << 30,
        };
        assert_eq!(sequence.record(), None);
    }
}
