//! The beginning of a bundle: what is read before anything is decided.

use super::{
    ARCHIVE_BLOCK_BYTES, ArchiveError, MemberName, PayloadName,
    archive::{Place, parse_header},
};
use crate::{
    manifest::{MAX_MANIFEST_BYTES, Members},
    plan::ByteRange,
    trust::MAX_SIGNATURES_BYTES,
};

/// Bytes that are fetched first: manifest and signatures, in one request unless many have signed.
pub const HEAD_BYTES: u64 = 4096;

/// The beginning of a bundle can't be read.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Its archive has another form.
    #[error("this is no bundle, or a damaged one")]
    Archive(#[from] ArchiveError),
    /// A member that nobody would read into memory.
    #[error("the bundle's {0} has {1} bytes: this is no bundle, or a damaged one")]
    Oversized(MemberName, u64),
}

/// Manifest and signatures, as they are: nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// `signatures.json`.
    pub signatures: Vec<u8>,
    /// Where the next member's header begins.
    end: u64,
    /// The bundle's first bytes.
    bytes: Vec<u8>,
    /// What was asked for to get them.
    fetched: Vec<ByteRange>,
}

/// Where the other members lie, if the manifest is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The frame table.
    pub index: Place,
    /// The hash trees.
    pub verity: Place,
    /// The boot payload's frames.
    pub boot: Place,
    /// The root's frames.
    pub root: Place,
}

/// The first bytes of a bundle, or of a delta, as many as were needed so far.
pub(crate) struct Beginning<R> {
    read: R,
    /// Where it begins in what `read` reads.
    start: u64,
    /// Bytes that are asked for first: they are there, whatever they are.
    first: u64,
    /// Bytes that are asked for along with others later: what follows is longer.
    along: u64,
    bytes: Vec<u8>,
    fetched: Vec<ByteRange>,
}

impl<R, E> Beginning<R>
where
    R: FnMut(ByteRange) -> Result<Vec<u8>, E>,
    E: From<HeadError>,
{
    /// Nothing is read yet.
    pub(crate) const fn new(read: R, start: u64, first: u64, along: u64) -> Self {
        Self {
            read,
            start,
            first,
            along,
            bytes: Vec::new(),
            fetched: Vec::new(),
        }
    }

    /// What was read, and what was asked for to get it.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<ByteRange>) {
        (self.bytes, self.fetched)
    }

    /// The bytes of a place, which the caller has bounded.
    pub(crate) fn bytes(&mut self, name: MemberName, place: Place) -> Result<&[u8], E> {
        let (have, end) = (self.bytes.len() as u64, place.start + place.bytes);
        if have < end {
            let until = if have == 0 {
                self.first.max(end)
            } else {
                end + self.along
            };
            let range = ByteRange {
                start: self.start + have,
                end: self.start + until,
            };
            self.fetched.push(range);
            self.bytes.extend((self.read)(range)?);
        }
        let slice = |start, end| {
            self.bytes
                .get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
        };
        slice(place.start, end).ok_or_else(|| HeadError::from(ArchiveError::Header(name)).into())
    }

    /// The bytes of a member whose header begins at `at`, and where the next header begins.
    pub(crate) fn member(&mut self, name: MemberName, at: u64, limit: usize) -> Result<(Vec<u8>, u64), E> {
        let header = Place {
            start: at,
            bytes: ARCHIVE_BLOCK_BYTES as u64,
        };
        let wrong = || HeadError::from(ArchiveError::Header(name));
        let header = *self.bytes(name, header)?.first_chunk().ok_or_else(wrong)?;
        let place = Place::after_header(at, parse_header(name, &header).map_err(HeadError::from)?);
        if place.bytes > limit as u64 {
            return Err(HeadError::Oversized(name, place.bytes).into());
        }
        Ok((self.bytes(name, place)?.to_vec(), place.next_header()))
    }
}

impl Head {
    /// Takes the first two members out of what `read` gives of the bundle: most often it is asked once.
    ///
    /// # Errors
    /// When they aren't there or absurdly long; what `read` fails with.
    pub fn read<E: From<HeadError>>(read: impl FnMut(ByteRange) -> Result<Vec<u8>, E>) -> Result<Self, E> {
        // Trees follow, which are longer than what is asked for along.
        let mut beginning = Beginning::new(read, 0, HEAD_BYTES, HEAD_BYTES);
        let (manifest, at) = beginning.member(MemberName::Manifest, 0, MAX_MANIFEST_BYTES)?;
        let (signatures, end) = beginning.member(MemberName::Signatures, at, MAX_SIGNATURES_BYTES)?;
        let (bytes, fetched) = beginning.into_parts();
        Ok(Self {
            manifest,
            signatures,
            end,
            bytes,
            fetched,
        })
    }

    /// What was fetched to read it, each range by a request of its own.
    #[must_use]
    pub fn fetched(&self) -> &[ByteRange] {
        &self.fetched
    }

    /// Bytes of the bundle, where they came along with the head.
    #[must_use]
    pub fn bytes(&self, range: ByteRange) -> Option<&[u8]> {
        let (start, end) = (
            usize::try_from(range.start).ok()?,
            usize::try_from(range.end).ok()?,
        );
        self.bytes.get(start..end)
    }

    /// Where the members behind the head lie: their lengths are the manifest's. What lies there is checked by digests.
    #[must_use]
    pub fn layout(&self, members: &Members) -> Layout {
        let index = Place::after_header(self.end, members.index.bytes);
        let verity = Place::after_header(index.next_header(), members.verity.bytes);
        let boot = Place::after_header(verity.next_header(), members.boot.bytes);
        let root = Place::after_header(boot.next_header(), members.root.bytes);
        Layout {
            index,
            verity,
            boot,
            root,
        }
    }
}

impl Layout {
    /// Where a payload's frames lie.
    #[must_use]
    pub const fn frames(&self, payload: PayloadName) -> Place {
        match payload {
            PayloadName::Boot => self.boot,
            PayloadName::Root => self.root,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::header;

    /// A head with a manifest of so many bytes, and what follows.
    fn bundle(manifest: usize, rest: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, len) in [(MemberName::Manifest, manifest), (MemberName::Signatures, 300)] {
            bytes.extend(header(name, len as u64).unwrap());
            bytes.extend(vec![7; len]);
            bytes.resize(bytes.len().next_multiple_of(ARCHIVE_BLOCK_BYTES), 0);
        }
        bytes.resize(bytes.len() + rest, 9);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Head, HeadError> {
        Head::read(|range| {
            let (start, end) = (
                usize::try_from(range.start).unwrap(),
                usize::try_from(range.end).unwrap(),
            );
            Ok(bytes[start.min(bytes.len())..end.min(bytes.len())].to_vec())
        })
    }

    #[test]
    fn a_short_head_is_one_request_and_a_long_one_two() {
        let head = read(&bundle(1000, 10_000)).unwrap();
        assert_eq!((head.manifest.len(), head.signatures.len()), (1000, 300));
        assert_eq!(
            head.fetched(),
            [ByteRange {
                start: 0,
                end: HEAD_BYTES
            }]
        );
        let behind = ByteRange {
            start: 2600,
            end: 2700,
        };
        assert_eq!(head.bytes(behind), Some(&[9; 100][..]));
        let long = read(&bundle(20_000, 20_000)).unwrap();
        assert_eq!(long.manifest.len(), 20_000);
        assert_eq!(long.fetched().len(), 2, "{:?}", long.fetched());
    }

    #[test]
    fn a_head_that_is_cut_or_absurdly_long_is_refused() {
        let whole = bundle(1000, 0);
        for len in (0..whole.len() - 212).step_by(13) {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
        let error = read(&bundle(MAX_MANIFEST_BYTES + 1, 0)).unwrap_err();
        assert!(matches!(error, HeadError::Oversized(MemberName::Manifest, _)));
    }
}
