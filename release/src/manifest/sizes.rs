//! What is too large to be meant.

use super::json::ManifestError;
use crate::verity::BLOCK_BYTES;

/// Longest manifest, in bytes: a device reads it into memory before it trusts it.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024;
/// Longest member, in bytes: what the eleven octal digits of a tar header can say.
pub const MAX_MEMBER_BYTES: u64 = (8 << 30) - 1;
/// Longest payload, in bytes: 1 TiB, so that sums of sizes can't overflow.
pub const MAX_TARGET_BYTES: u64 = 1 << 40;

/// Refuses a length that nothing real has.
pub(super) const fn member(field: &'static str, bytes: u64) -> Result<u64, ManifestError> {
    bounded(field, bytes, MAX_MEMBER_BYTES)
}

/// Refuses the length of a disk image or block map that nothing real has.
pub(super) const fn file(field: &'static str, bytes: u64) -> Result<u64, ManifestError> {
    bounded(field, bytes, MAX_TARGET_BYTES)
}

const fn bounded(field: &'static str, bytes: u64, most: u64) -> Result<u64, ManifestError> {
    if bytes == 0 || bytes > most {
        return Err(ManifestError::Size { field, bytes });
    }
    Ok(bytes)
}

/// Refuses a payload that isn't whole blocks.
pub(super) fn target(field: &'static str, bytes: u64) -> Result<u64, ManifestError> {
    if bytes.is_multiple_of(BLOCK_BYTES as u64) {
        bounded(field, bytes, MAX_TARGET_BYTES)
    } else {
        Err(ManifestError::Size { field, bytes })
    }
}
