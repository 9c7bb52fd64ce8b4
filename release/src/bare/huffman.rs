//! Huffman codes of literals. Source: RFC 8878, 4.2.

use super::{
    BareError,
    bits::{Backwards, BitWriter},
    fse::{Decoder, Limits, Table},
};

/// Longest code, in bits.
const MAX_BITS: u32 = 11;
/// What a table of weights may be.
const WEIGHTS: Limits = Limits { log: 6, symbols: 13 };
/// Most weights in a description: the last symbol's is what is missing.
const MAX_WEIGHTS: usize = 255;
/// Descriptions that begin with less are compressed, and so long.
const FIRST_DIRECT: u8 = 128;

/// A symbol's code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Code {
    code: u32,
    bits: u32,
}

/// Codes, for both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Codes {
    /// Bits of the longest.
    log: u32,
    /// By symbol; no bits where there is none.
    codes: Vec<Code>,
    /// By the next `log` bits: symbol, and how many of them it has.
    symbols: Vec<(u8, u8)>,
}

impl Codes {
    /// Reads a description: the codes, and how many bytes that was.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), BareError> {
        let short = BareError::Damaged("the description of Huffman codes ends too early");
        let Some((first, rest)) = bytes.split_first() else {
            return Err(short);
        };
        let (weights, used) = if *first < FIRST_DIRECT {
            let used = usize::from(*first);
            (compressed(rest.get(..used).ok_or(short)?)?, used)
        } else {
            let count = usize::from(*first - FIRST_DIRECT) + 1;
            let used = count.div_ceil(2);
            let halves = rest.get(..used).ok_or(short)?.iter();
            let halves = halves.flat_map(|byte| [byte >> 4, byte & 15]);
            (halves.take(count).collect(), used)
        };
        Ok((Self::of_weights(weights)?, 1 + used))
    }

    fn of_weights(mut weights: Vec<u8>) -> Result<Self, BareError> {
        let damaged = || BareError::Damaged("Huffman codes of lengths that can't be");
        let share = |weight: &u8| if *weight == 0 { 0 } else { 1_u32 << (weight - 1) };
        if weights.iter().any(|weight| u32::from(*weight) > MAX_BITS) {
            return Err(damaged());
        }
        let sum: u32 = weights.iter().map(share).sum();
        let log = sum.checked_ilog2().ok_or_else(damaged)? + 1;
        let missing = (1 << log) - sum;
        if log > MAX_BITS || !missing.is_power_of_two() {
            return Err(damaged());
        }
        // At most 11.
        weights.push(u8::try_from(missing.ilog2() + 1).unwrap_or(0));
        let mut codes = vec![Code::default(); weights.len()];
        let mut symbols = Vec::with_capacity(1 << log);
        for weight in 1..=log {
            for (place, (symbol, _)) in codes
                .iter_mut()
                .zip((0..=u8::MAX).zip(&weights))
                .filter(|(_, (_, there))| u32::from(**there) == weight)
            {
                let bits = log + 1 - weight;
                *place = Code {
                    code: u32::try_from(symbols.len()).unwrap_or(0) >> (weight - 1),
                    bits,
                };
                let all = symbols.len() + (1 << (weight - 1));
                symbols.resize(all, (symbol, u8::try_from(bits).unwrap_or(0)));
            }
        }
        Ok(Self { log, codes, symbols })
    }

    /// Reads a stream of `count` literals, all of it.
    pub(super) fn read(&self, stream: &[u8], count: usize, out: &mut Vec<u8>) -> Result<(), BareError> {
        let mut bits = Backwards::new(stream)?;
        for _ in 0..count {
            let next = bits.peek(self.log) as usize;
            let (symbol, taken) = self.symbols.get(next).copied().unwrap_or_default();
            if !bits.skip(taken.into()) {
                return Err(BareError::Damaged("a stream of literals ends too early"));
            }
            out.push(symbol);
        }
        bits.end()
    }

    /// The stream that literals make.
    pub(super) fn written(&self, literals: &[u8]) -> Result<Vec<u8>, BareError> {
        let mut out = BitWriter::default();
        for literal in literals.iter().rev() {
            let code = self.codes.get(usize::from(*literal)).filter(|code| code.bits > 0);
            let code = code.ok_or(BareError::Damaged("a literal that has no code"))?;
            out.put(code.code, code.bits);
        }
        Ok(out.finish())
    }
}

/// Weights that are compressed themselves: two states take turns, until bits run out.
fn compressed(bytes: &[u8]) -> Result<Vec<u8>, BareError> {
    let (table, used) = Table::parse(bytes, WEIGHTS)?;
    let mut bits = Backwards::new(bytes.get(used..).unwrap_or_default())?;
    let mut now = Decoder::new(&table, &mut bits)?;
    let mut then = Decoder::new(&table, &mut bits)?;
    let mut weights = Vec::new();
    loop {
        weights.push(now.symbol()?);
        if !now.next(&mut bits)? {
            weights.push(then.symbol()?);
            break;
        }
        std::mem::swap(&mut now, &mut then);
        if weights.len() > MAX_WEIGHTS {
            break;
        }
    }
    if weights.len() > MAX_WEIGHTS {
        return Err(BareError::Damaged("there are too many Huffman codes"));
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_those_of_the_specification_s_example() {
        // RFC 8878, 4.2.1: weights 4, 3, 2, 0, 1, and the last symbol's.
        let (codes, used) = Codes::parse(&[0x84, 0x43, 0x20, 0x10]).unwrap();
        assert_eq!(used, 4);
        let code = |symbol: usize| (codes.codes[symbol].code, codes.codes[symbol].bits);
        assert_eq!(code(0), (1, 1));
        assert_eq!(code(1), (1, 2));
        assert_eq!(code(2), (1, 3));
        assert_eq!(code(3), (0, 0));
        assert_eq!(code(4), (0, 4));
        assert_eq!(code(5), (1, 4));
        let stream = codes.written(&[0, 1, 2, 4, 5]).unwrap();
        let mut found = Vec::new();
        codes.read(&stream, 5, &mut found).unwrap();
        assert_eq!(found, [0, 1, 2, 4, 5]);
        assert!(codes.written(&[3]).is_err());
        assert!(codes.read(&stream, 4, &mut found).is_err());
        assert!(codes.read(&stream, 6, &mut found).is_err());
    }

    proptest! {
        #[test]
        fn any_description_is_codes_or_an_error(bytes: Vec<u8>, stream: Vec<u8>) {
            if let Ok((codes, used)) = Codes::parse(&bytes) {
                prop_assert!(used <= bytes.len());
                prop_assert_eq!(codes.symbols.len(), 1 << codes.log);
                let _literals_or_error = codes.read(&stream, 20, &mut Vec::new());
            }
        }
    }
}
