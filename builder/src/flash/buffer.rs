//! Memory that may be written past the page cache.

/// What the kernel asks of such memory on any disk, in bytes. Source: Linux, open(2), "`O_DIRECT`".
pub(super) const ALIGNMENT: usize = 4096;

/// Bytes that begin at a multiple of [`ALIGNMENT`] in memory.
#[derive(Debug)]
pub(super) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    pub(super) fn new(len: usize) -> Self {
        let memory = vec![0; len + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start, len }
    }

    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::new(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        buffer
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.memory
            .get(self.start..self.start + self.len)
            .unwrap_or_default()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory
            .get_mut(self.start..self.start + self.len)
            .unwrap_or_default()
    }

    /// Makes it shorter, or as long as it was made.
    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len.min(self.memory.len() - ALIGNMENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_a_page_whatever_its_length() {
        for len in [1, 4096, 5000, 1 << 20] {
            let mut buffer = AlignedBuffer::copy_of(&vec![7; len]);
            assert_eq!(buffer.bytes().as_ptr().align_offset(ALIGNMENT), 0);
            assert_eq!(buffer.bytes(), vec![7; len]);
            buffer.set_len(1);
            assert_eq!(buffer.bytes(), [7]);
        }
    }
}
