//! Little-endian fields at offsets that may lie outside.

/// `N` bytes at `offset`, if they are there.
pub(super) fn take<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// A 16-bit number.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    take(bytes, offset).map(u16::from_le_bytes)
}

/// A 32-bit number.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    take(bytes, offset).map(u32::from_le_bytes)
}

/// Writes `field` at `offset`; false when it doesn't fit.
#[must_use]
pub(crate) fn put(bytes: &mut [u8], offset: usize, field: &[u8]) -> bool {
    let end = offset.checked_add(field.len());
    match end.and_then(|end| bytes.get_mut(offset..end)) {
        Some(place) => {
            place.copy_from_slice(field);
            true
        }
        None => false,
    }
}
