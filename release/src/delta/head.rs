//! The beginning of a delta: what is read before anything of it is believed.

use crate::{
    bundle::{Beginning, HeadError, MemberName, Place},
    manifest::MAX_MANIFEST_BYTES,
    plan::ByteRange,
    trust::MAX_SIGNATURES_BYTES,
};

/// Bytes that are fetched first. No delta is shorter: its headers, its manifest and its end alone are longer.
pub const DELTA_HEAD_BYTES: u64 = 4096;
/// Longest index that is read into memory, in bytes: the spans and hashes of releases of 64 GiB.
pub const MAX_INDEX_BYTES: u64 = 8 << 20;

/// `delta.json` and its signatures, as they are: nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaHead {
    /// `delta.json`.
    pub manifest: Vec<u8>,
    /// `signatures.json`.
    pub signatures: Vec<u8>,
    /// Where the delta begins in its file.
    start: u64,
    /// Where the next member's header begins, from the delta's start.
    end: u64,
    bytes: Vec<u8>,
    fetched: Vec<ByteRange>,
}

impl DeltaHead {
    /// Takes the first two members of a delta that begins at `start` of what `read` reads.
    ///
    /// # Errors
    /// When they aren't there or absurdly long; what `read` fails with.
    pub fn read<E: From<HeadError>>(
        start: u64,
        read: impl FnMut(ByteRange) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let mut beginning = Beginning::new(read, start, DELTA_HEAD_BYTES, 0);
        let (manifest, at) = beginning.member(MemberName::Delta, 0, MAX_MANIFEST_BYTES)?;
        let (signatures, end) = beginning.member(MemberName::Signatures, at, MAX_SIGNATURES_BYTES)?;
        let (bytes, fetched) = beginning.into_parts();
        Ok(Self {
            manifest,
            signatures,
            start,
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

    /// Bytes of the file, where they came along with the head.
    #[must_use]
    pub fn bytes(&self, range: ByteRange) -> Option<&[u8]> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..end)
    }

    /// Where index and data lie in the file, by the lengths that the manifest says.
    #[must_use]
    pub const fn places(&self, index_bytes: u64, data_bytes: u64) -> (Place, Place) {
        let index = Place::after_header(self.start + self.end, index_bytes);
        (index, Place::after_header(index.next_header(), data_bytes))
    }
}
