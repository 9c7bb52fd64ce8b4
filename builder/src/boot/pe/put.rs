//! Writing a header field.

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
