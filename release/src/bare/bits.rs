//! Bit streams of zstd: little-endian, written forwards, and read from their end. Source: RFC 8878, 4.1 and 4.2.2.

use super::BareError;

/// Most bits of one number.
const MAX_BITS: u32 = 32;

/// `count` bits from bit `at` on; zeros behind the end.
fn bits(bytes: &[u8], at: usize, count: u32) -> u32 {
    let rest = bytes.get(at / 8..).unwrap_or_default();
    let word = rest.first_chunk().copied().unwrap_or_else(|| {
        let mut word = [0; 8];
        for (place, byte) in word.iter_mut().zip(rest) {
            *place = *byte;
        }
        word
    });
    let mask = (1_u64 << count.min(MAX_BITS)) - 1;
    // The mask leaves 32 bits.
    u32::try_from((u64::from_le_bytes(word) >> (at % 8)) & mask).unwrap_or(u32::MAX)
}

/// Reads from the start: descriptions of tables.
#[derive(Debug)]
pub(super) struct Forwards<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Forwards<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next bits, without using them up; zeros behind the end.
    pub(super) fn peek(&self, count: u32) -> u32 {
        bits(self.bytes, self.at, count)
    }

    pub(super) const fn skip(&mut self, count: u32) {
        self.at += count as usize;
    }

    pub(super) fn read(&mut self, count: u32) -> u32 {
        let value = self.peek(count);
        self.skip(count);
        value
    }

    /// Whole bytes that were used up.
    pub(super) fn used(&self) -> Result<usize, BareError> {
        let used = self.at.div_ceil(8);
        if used > self.bytes.len() {
            return Err(BareError::Damaged("a table's description ends too early"));
        }
        Ok(used)
    }
}

/// Reads from the end: what entropy coders wrote.
#[derive(Debug)]
pub(super) struct Backwards<'b> {
    bytes: &'b [u8],
    /// Bits that weren't read.
    left: usize,
}

impl<'b> Backwards<'b> {
    /// A stream ends with its last bit that is one, which isn't part of it.
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, BareError> {
        let last = bytes.last().filter(|last| **last != 0);
        let last = last.ok_or(BareError::Damaged("a bit stream has no end"))?;
        let left = bytes.len() * 8 - last.leading_zeros() as usize - 1;
        Ok(Self { bytes, left })
    }

    /// The next bits, without using them up; zeros before the start.
    pub(super) fn peek(&self, count: u32) -> u32 {
        match self.left.checked_sub(count as usize) {
            Some(at) => bits(self.bytes, at, count),
            None => {
                let there = u32::try_from(self.left).unwrap_or(0);
                bits(self.bytes, 0, there) << (count - there)
            }
        }
    }

    /// Uses bits up; false, and nothing left, when there aren't as many.
    pub(super) const fn skip(&mut self, count: u32) -> bool {
        match self.left.checked_sub(count as usize) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left = 0;
                false
            }
        }
    }

    pub(super) fn read(&mut self, count: u32) -> Result<u32, BareError> {
        let value = self.peek(count);
        if self.skip(count) {
            Ok(value)
        } else {
            Err(BareError::Damaged("a bit stream ends too early"))
        }
    }

    /// Nothing is left.
    pub(super) const fn end(&self) -> Result<(), BareError> {
        if self.left == 0 {
            Ok(())
        } else {
            Err(BareError::Damaged("a bit stream is too long"))
        }
    }
}

/// Writes what [`Backwards`] reads: the last number first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    waiting: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        let mask = (1_u64 << count.min(MAX_BITS)) - 1;
        self.waiting |= (u64::from(value) & mask) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.waiting.to_le_bytes()[0]);
            self.waiting >>= 8;
            self.count -= 8;
        }
    }

    /// Ends the stream.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.put(1, 1);
        if self.count > 0 {
            self.bytes.push(self.waiting.to_le_bytes()[0]);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read_from_its_end(numbers in proptest::collection::vec((any::<u32>(), 0..=32_u32), 0..50)) {
            let mut writer = BitWriter::default();
            for (value, count) in &numbers {
                writer.put(*value, *count);
            }
            let bytes = writer.finish();
            let mut reader = Backwards::new(&bytes).unwrap();
            for (value, count) in numbers.iter().rev() {
                let wanted = u64::from(*value) & ((1 << count) - 1);
                prop_assert_eq!(u64::from(reader.read(*count).unwrap()), wanted);
            }
            prop_assert!(reader.end().is_ok());
            prop_assert!(reader.read(1).is_err());
        }
    }

    #[test]
    fn a_stream_without_an_end_is_damaged_and_bits_before_its_start_are_zeros() {
        assert!(Backwards::new(&[]).is_err());
        assert!(Backwards::new(&[5, 0]).is_err());
        let mut stream = Backwards::new(&[0b1101]).unwrap();
        assert_eq!(stream.peek(5), 0b10100);
        assert!(!stream.skip(4));
        assert!(stream.end().is_ok());
    }
}
