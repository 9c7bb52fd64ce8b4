//! Little-endian fields of foreign bytes, at offsets that may lie outside.

/// `N` bytes at `offset`, if they are there.
pub(crate) fn take<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// A 16-bit number.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    take(bytes, offset).map(u16::from_le_bytes)
}

/// A 32-bit number.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    take(bytes, offset).map(u32::from_le_bytes)
}
