//! FSE, zstd's coder of sequences: a table of states, each of which stands for a symbol. Source: RFC 8878, 4.1.

use super::{
    BareError,
    bits::{Backwards, BitWriter, Forwards},
};

/// Most symbols of any table.
const MAX_SYMBOLS: usize = 53;

/// What tables of a kind may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most states, as a power of two.
    pub(super) log: u32,
    /// How many symbols there are.
    pub(super) symbols: usize,
}

/// A state: its symbol, and which states may follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    symbol: u8,
    bits: u8,
    base: u16,
}

/// A table, for both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    log: u32,
    states: Vec<State>,
    /// The states of each symbol, ascending.
    of_symbol: Vec<Vec<u16>>,
}

impl Table {
    /// A table of one symbol, which takes no bits.
    pub(super) fn single(symbol: u8, limits: Limits) -> Result<Self, BareError> {
        let mut counts = vec![0; limits.symbols];
        let count = counts.get_mut(usize::from(symbol));
        *count.ok_or(BareError::Damaged("a symbol that there isn't"))? = 1;
        Self::new(&counts, 0)
    }

    /// A table of symbols that have so many of the `1 << log` states; -1 is one at the table's end.
    pub(super) fn new(counts: &[i16], log: u32) -> Result<Self, BareError> {
        let damaged = || BareError::Damaged("a table's symbols don't fill it");
        let size = 1_usize << log;
        let mut symbols = vec![None; size];
        let mut end = size;
        let numbered = || (0_u8..).zip(counts);
        for (symbol, _) in numbered().filter(|(_, count)| **count < 0) {
            end = end.checked_sub(1).ok_or_else(damaged)?;
            *symbols.get_mut(end).ok_or_else(damaged)? = Some(symbol);
        }
        // The step is odd, so that every place is met once.
        let step = (size >> 1) + (size >> 3) + 3;
        let mut at = 0;
        for (symbol, count) in numbered() {
            for _ in 0..(*count).max(0) {
                let place = symbols.get_mut(at).filter(|place| place.is_none());
                *place.ok_or_else(damaged)? = Some(symbol);
                loop {
                    at = (at + step) & (size - 1);
                    if at < end || at == 0 {
                        break;
                    }
                }
            }
        }
        let symbols: Option<Vec<u8>> = symbols.into_iter().collect();
        Ok(Self::of_symbols(&symbols.ok_or_else(damaged)?, counts.len(), log))
    }

    fn of_symbols(symbols: &[u8], count: usize, log: u32) -> Self {
        let mut of_symbol: Vec<Vec<u16>> = vec![Vec::new(); count];
        for (number, symbol) in (0..).zip(symbols) {
            if let Some(states) = of_symbol.get_mut(usize::from(*symbol)) {
                states.push(number);
            }
        }
        let mut met = vec![0_u32; count];
        let mut states = Vec::with_capacity(symbols.len());
        for symbol in symbols {
            let place = usize::from(*symbol);
            let all = of_symbol.get(place).map_or(0, Vec::len);
            let before = met.get_mut(place).map_or(0, |met| {
                *met += 1;
                *met - 1
            });
            let next = u32::try_from(all).unwrap_or(0) + before;
            let bits = log - next.checked_ilog2().unwrap_or(0);
            let base = (next << bits) - (1 << log);
            states.push(State {
                symbol: *symbol,
                // At most 9 bits, and below 512.
                bits: u8::try_from(bits).unwrap_or(0),
                base: u16::try_from(base).unwrap_or(0),
            });
        }
        Self {
            log,
            states,
            of_symbol,
        }
    }

    /// Reads a table's description: the table, and how many bytes that was.
    pub(super) fn parse(bytes: &[u8], limits: Limits) -> Result<(Self, usize), BareError> {
        let mut bits = Forwards::new(bytes);
        let log = bits.read(4) + 5;
        if log > limits.log {
            return Err(BareError::Damaged("a table has too many states"));
        }
        let mut left = 1_u32 << log;
        let mut counts = Vec::with_capacity(MAX_SYMBOLS);
        while left > 0 {
            let value = less_than(left + 2, &mut bits);
            // Of a symbol that is rarer than any state, there is one.
            let taken = if value == 0 { 1 } else { value - 1 };
            left = left
                .checked_sub(taken)
                .ok_or(BareError::Damaged("a table's symbols don't fill it"))?;
            // At most 512.
            counts.push(i16::try_from(value).unwrap_or(0) - 1);
            if value == 1 {
                zeros(&mut bits, &mut counts, limits)?;
            }
            if counts.len() > limits.symbols {
                return Err(BareError::Damaged("a table has too many symbols"));
            }
        }
        Ok((Self::new(&counts, log)?, bits.used()?))
    }

    fn state(&self, number: u32) -> Result<State, BareError> {
        let state = self.states.get(number as usize);
        state
            .copied()
            .ok_or(BareError::Damaged("a state that there isn't"))
    }
}

/// Counts of zero that follow one, in threes.
fn zeros(bits: &mut Forwards<'_>, counts: &mut Vec<i16>, limits: Limits) -> Result<(), BareError> {
    loop {
        let more = bits.read(2);
        counts.extend((0..more).map(|_| 0));
        if counts.len() > limits.symbols {
            return Err(BareError::Damaged("a table has too many symbols"));
        }
        if more < 3 {
            return Ok(());
        }
    }
}

/// Reads a number below `end`: the first ones take a bit less.
fn less_than(end: u32, bits: &mut Forwards<'_>) -> u32 {
    let count = (end - 1).ilog2() + 1;
    let shorter = (1 << count) - end;
    let half = 1 << (count - 1);
    let value = bits.peek(count);
    if value & (half - 1) < shorter {
        bits.skip(count - 1);
        return value & (half - 1);
    }
    bits.skip(count);
    if value >= half { value - shorter } else { value }
}

/// Reads symbols.
#[derive(Debug)]
pub(super) struct Decoder<'t> {
    table: &'t Table,
    state: u32,
}

impl<'t> Decoder<'t> {
    pub(super) fn new(table: &'t Table, bits: &mut Backwards<'_>) -> Result<Self, BareError> {
        let state = bits.read(table.log)?;
        Ok(Self { table, state })
    }

    /// The symbol that the state stands for.
    pub(super) fn symbol(&self) -> Result<u8, BareError> {
        Ok(self.table.state(self.state)?.symbol)
    }

    /// Goes on to the next state; false when the stream had not enough bits for it, which then are zeros.
    pub(super) fn next(&mut self, bits: &mut Backwards<'_>) -> Result<bool, BareError> {
        let state = self.table.state(self.state)?;
        let count = u32::from(state.bits);
        self.state = u32::from(state.base) + bits.peek(count);
        Ok(bits.skip(count))
    }
}

/// Writes symbols, the last one first.
#[derive(Debug)]
pub(super) struct Encoder<'t> {
    table: &'t Table,
    state: u32,
}

impl<'t> Encoder<'t> {
    /// An encoder whose last symbol is `last`: in the first of its states, as zstd's.
    pub(super) fn new(table: &'t Table, last: u8) -> Result<Self, BareError> {
        let states = states_of(table, last)?;
        let state = u32::from(states.first().copied().unwrap_or(0));
        Ok(Self { table, state })
    }

    /// Puts a symbol before those that were written.
    pub(super) fn put(&mut self, symbol: u8, out: &mut BitWriter) -> Result<(), BareError> {
        let states = states_of(self.table, symbol)?;
        let count = u32::try_from(states.len()).unwrap_or(u32::MAX);
        // The one state of this symbol from which the stream leads to the state that we are in.
        let target = self.state + (1 << self.table.log);
        let mut bits = target.ilog2() - count.ilog2();
        if target >> bits < count {
            bits -= 1;
        }
        let place = (target >> bits) - count;
        out.put(target, bits);
        let state = states.get(place as usize);
        self.state = u32::from(*state.ok_or(BareError::Damaged("a state that there isn't"))?);
        Ok(())
    }

    /// Writes the state that reading starts in.
    pub(super) fn finish(&self, out: &mut BitWriter) {
        out.put(self.state, self.table.log);
    }
}

fn states_of(table: &Table, symbol: u8) -> Result<&[u16], BareError> {
    let states = table.of_symbol.get(usize::from(symbol));
    states
        .map(Vec::as_slice)
        .filter(|states| !states.is_empty())
        .ok_or(BareError::Damaged("a symbol that its table hasn't"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { log: 9, symbols: 36 };

    fn written(table: &Table, symbols: &[u8]) -> Vec<u8> {
        let (last, before) = symbols.split_last().unwrap();
        let mut out = BitWriter::default();
        let mut encoder = Encoder::new(table, *last).unwrap();
        for symbol in before.iter().rev() {
            encoder.put(*symbol, &mut out).unwrap();
        }
        encoder.finish(&mut out);
        out.finish()
    }

    fn read(table: &Table, bytes: &[u8], count: usize) -> Vec<u8> {
        let mut bits = Backwards::new(bytes).unwrap();
        let mut decoder = Decoder::new(table, &mut bits).unwrap();
        let mut found = vec![decoder.symbol().unwrap()];
        for _ in 1..count {
            assert!(decoder.next(&mut bits).unwrap());
            found.push(decoder.symbol().unwrap());
        }
        bits.end().unwrap();
        found
    }

    proptest! {
        #[test]
        fn symbols_survive_being_coded(weights in proptest::collection::vec(1..9_i16, 1..8), picks in proptest::collection::vec(any::<u8>(), 1..200)) {
            // What is missing to 64 is the last symbol's; the first one is rare.
            let mut counts = vec![-1];
            counts.extend(&weights);
            let sum: i16 = weights.iter().sum();
            counts.push(64 - 1 - sum);
            if counts.last() == Some(&0) { counts.pop(); }
            let table = Table::new(&counts, 6).unwrap();
            let all = u8::try_from(counts.len()).unwrap();
            let symbols: Vec<u8> = picks.iter().map(|pick| pick % all).collect();
            let bytes = written(&table, &symbols);
            prop_assert_eq!(read(&table, &bytes, symbols.len()), symbols);
        }

        #[test]
        fn any_description_is_a_table_or_an_error(bytes: Vec<u8>) {
            if let Ok((table, used)) = Table::parse(&bytes, LIMITS) {
                prop_assert!(used <= bytes.len());
                prop_assert_eq!(table.states.len(), 1 << table.log);
            }
        }
    }

    #[test]
    fn one_symbol_takes_no_bits() {
        let table = Table::single(7, LIMITS).unwrap();
        assert_eq!(written(&table, &[7, 7, 7]), [1]);
        assert_eq!(read(&table, &[1], 3), [7, 7, 7]);
        assert!(Table::single(36, LIMITS).is_err());
        assert!(Encoder::new(&table, 6).is_err());
    }

    #[test]
    fn counts_that_don_t_fill_a_table_or_overflow_it_are_refused() {
        for counts in [&[31_i16][..], &[33], &[-1; 33], &[]] {
            assert!(Table::new(counts, 5).is_err(), "{counts:?}");
        }
        assert!(Table::new(&[32], 5).is_ok());
    }
}
