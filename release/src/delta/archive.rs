//! Where deltas lie: as files beside a bundle, and inside it behind its last member.
//!
//! Inside, the bundle has one more member, `deltas`: a directory of [`DIRECTORY_BYTES`], then the delta files, each padded with zeros
//! to whole blocks of 512 bytes. Nothing of it is covered by the release's manifest: deltas can be added later, and each is signed by
//! itself.

use crate::{bundle::ARCHIVE_BLOCK_BYTES, digest::RootHash};

/// Length of the directory, in bytes.
pub const DIRECTORY_BYTES: usize = ARCHIVE_BLOCK_BYTES;
/// Most deltas in a bundle.
pub const MAX_DELTAS: usize = 12;
const MAGIC: [u8; 8] = *b"OUTCROPS";
const ENTRY_BYTES: usize = 40;
/// Hexadecimal digits of the old root hash in a delta's name.
const NAME_DIGITS: usize = 16;

/// A delta inside a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeltaEntry {
    /// Root hash of the release that it starts from; none for one that needs nothing.
    pub from: Option<RootHash>,
    /// First byte, from the start of the member `deltas`.
    pub start: u64,
    /// Length, in bytes.
    pub bytes: u64,
}

/// A directory that no Outcrop wrote, or one that is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Its signature or an entry is wrong.
    #[error("the bundle's directory of deltas is damaged, or of a newer format")]
    Form,
    /// More than [`MAX_DELTAS`].
    #[error("a bundle holds at most {MAX_DELTAS} deltas, not {0}: keep the others as files beside it")]
    TooMany(usize),
}

/// The directory over deltas of these lengths, in their order: its bytes. The deltas follow, each padded to
/// [`ARCHIVE_BLOCK_BYTES`].
///
/// # Errors
/// [`DirectoryError::TooMany`].
pub fn directory(deltas: &[(Option<RootHash>, u64)]) -> Result<[u8; DIRECTORY_BYTES], DirectoryError> {
    if deltas.len() > MAX_DELTAS {
        return Err(DirectoryError::TooMany(deltas.len()));
    }
    let mut bytes = MAGIC.to_vec();
    for (from, len) in deltas {
        bytes.extend(from.map_or([0; 32], |hash| *hash.as_bytes()));
        bytes.extend(len.to_le_bytes());
    }
    bytes.resize(DIRECTORY_BYTES, 0);
    bytes
        .as_slice()
        .try_into()
        .map_err(|_| DirectoryError::TooMany(deltas.len()))
}

/// The deltas that a directory names, in a member of `member_bytes`.
///
/// # Errors
/// [`DirectoryError::Form`] when it isn't one, or a delta would end behind the member.
pub fn parse_directory(
    bytes: &[u8; DIRECTORY_BYTES],
    member_bytes: u64,
) -> Result<Vec<DeltaEntry>, DirectoryError> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(DirectoryError::Form)?;
    if *magic != MAGIC {
        return Err(DirectoryError::Form);
    }
    let mut entries = Vec::new();
    let mut start = DIRECTORY_BYTES as u64;
    let (records, tail) = rest.as_chunks::<ENTRY_BYTES>();
    let mut ended = false;
    for record in records {
        let hash: [u8; 32] = *record.first_chunk().ok_or(DirectoryError::Form)?;
        let len = u64::from_le_bytes(*record.last_chunk().ok_or(DirectoryError::Form)?);
        if len == 0 {
            ended = true;
        }
        if ended {
            if *record != [0; ENTRY_BYTES] {
                return Err(DirectoryError::Form);
            }
            continue;
        }
        let end = start.checked_add(len).filter(|end| *end <= member_bytes);
        let end = end.ok_or(DirectoryError::Form)?;
        let from = (hash != [0; 32]).then(|| RootHash::from_bytes(hash));
        entries.push(DeltaEntry {
            from,
            start,
            bytes: len,
        });
        start = end.next_multiple_of(ARCHIVE_BLOCK_BYTES as u64);
    }
    if tail.iter().all(|byte| *byte == 0) {
        Ok(entries)
    } else {
        Err(DirectoryError::Form)
    }
}

/// What a delta beside the bundle `NAME.outcrop` is called: `NAME.from-DIGITS.delta`, the first 16 digits of the root hash of
/// the release that it starts from; `NAME.whole.delta` when it needs nothing. `bundle` may be a path or an address; none
/// when it doesn't end in `.outcrop`.
#[must_use]
pub fn file_name(bundle: &str, from: Option<&RootHash>) -> Option<String> {
    let stem = bundle.strip_suffix(".outcrop")?;
    Some(match from {
        None => format!("{stem}.whole.delta"),
        Some(hash) => {
            let digits = hash.to_string();
            format!(
                "{stem}.from-{}.delta",
                digits.get(..NAME_DIGITS).unwrap_or_default()
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_delta_beside_a_bundle_is_named_after_what_it_starts_from() {
        let hash = RootHash::of(b"abc");
        let name = "http://x/edge-1.2.0-x86_64-efi";
        let bundle = format!("{name}.outcrop");
        assert_eq!(
            file_name(&bundle, Some(&hash)).unwrap(),
            format!("{name}.from-ba7816bf8f01cfea.delta")
        );
        assert_eq!(file_name(&bundle, None).unwrap(), format!("{name}.whole.delta"));
        assert_eq!(file_name(name, None), None);
    }

    #[test]
    fn deltas_lie_behind_one_another_and_none_behind_the_member() {
        let hash = RootHash::of(b"abc");
        let bytes = directory(&[(Some(hash), 513), (None, 10)]).unwrap();
        let entries = parse_directory(&bytes, 1546).unwrap();
        let places: Vec<_> = entries
            .iter()
            .map(|entry| (entry.from, entry.start, entry.bytes))
            .collect();
        assert_eq!(places, [(Some(hash), 512, 513), (None, 1536, 10)]);
        assert_eq!(parse_directory(&bytes, 1545), Err(DirectoryError::Form));
        assert_eq!(
            directory(&vec![(None, 1); MAX_DELTAS + 1]),
            Err(DirectoryError::TooMany(MAX_DELTAS + 1))
        );
        assert_eq!(
            parse_directory(&directory(&vec![(None, 1); MAX_DELTAS]).unwrap(), 1 << 20).map(|all| all.len()),
            Ok(MAX_DELTAS)
        );
        assert_eq!(parse_directory(&directory(&[]).unwrap(), 512), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_block_is_a_directory_or_an_error(entries: Vec<u8>, member: u64) {
            let mut bytes = [0; DIRECTORY_BYTES];
            bytes[..8].copy_from_slice(&MAGIC);
            for (place, byte) in bytes.iter_mut().skip(8).zip(entries) {
                *place = byte;
            }
            if let Ok(entries) = parse_directory(&bytes, member) {
                prop_assert!(entries.iter().all(|entry| entry.start + entry.bytes <= member));
            }
        }
    }
}
