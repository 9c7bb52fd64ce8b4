//! Numbers and sized fields, big-endian. Source: part 1, "Canonical Data Forms"; part 2, section 4.9 (sized buffers).

use super::AnswerError;

/// Bytes of a command.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A buffer behind its length, two bytes: all of ours are shorter than a message.
    pub(super) fn sized(self, bytes: &[u8]) -> Self {
        let [.., high, low] = bytes.len().to_be_bytes();
        self.bytes(&[high, low]).bytes(bytes)
    }
}

/// Bytes of an answer that aren't read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], AnswerError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(AnswerError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AnswerError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(AnswerError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, AnswerError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, AnswerError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, AnswerError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn sized(&mut self) -> Result<&'a [u8], AnswerError> {
        let length = self.u16()?;
        self.take(length.into())
    }

    pub(super) fn end(&self) -> Result<(), AnswerError> {
        match self.0 {
            [] => Ok(()),
            rest => Err(AnswerError::Trailing(rest.len())),
        }
    }
}
