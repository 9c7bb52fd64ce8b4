//! The delta that a device would find for a bundle, without the device: its signatures are nobody's business here.

use std::{fs::File, path::Path};

use outcrop_release::{
    bundle::{ARCHIVE_BLOCK_BYTES, MemberName},
    delta::{DIRECTORY_BYTES, DeltaHead, DeltaIndex, DeltaManifest, MAX_INDEX_BYTES, file_name},
    digest::{FileDigest, RootHash},
    plan::{
        ByteRange,
        survey::{Looked, UsableDelta},
    },
};

use super::{Bundle, BundleError};
use crate::read_at::{FileSource, ReadAt};

/// A delta, as far as planning wants it.
pub(super) struct CostDelta {
    manifest: DeltaManifest,
    index: DeltaIndex,
}

impl CostDelta {
    /// What planning wants of it, for a device with so much memory to spare.
    pub(super) const fn usable(&self, memory: u64) -> UsableDelta<'_> {
        UsableDelta {
            manifest: &self.manifest,
            index: &self.index,
            memory,
        }
    }

    /// The delta from a release, else one from nothing: in the bundle, else beside it; and what a device fetches to find it.
    pub(super) fn find(bundle: &Bundle, from: RootHash) -> Result<(Option<Self>, Looked), BundleError> {
        let mut looked = Looked::default();
        looked.count(ByteRange {
            start: 0,
            end: (ARCHIVE_BLOCK_BYTES + DIRECTORY_BYTES) as u64,
        });
        let inside = bundle.deltas()?;
        for from in [Some(from), None] {
            let found = match inside.iter().find(|(there, _)| *there == from) {
                Some((_, window)) => Some(Self::read(bundle, window, &mut looked)?),
                None => match beside(bundle.path(), from.as_ref()) {
                    Some(file) => Some(Self::read(bundle, &file, &mut looked)?),
                    None => None,
                },
            };
            if found.is_some() {
                return Ok((found, looked));
            }
        }
        Ok((None, looked))
    }

    fn read(bundle: &Bundle, source: &impl ReadAt, looked: &mut Looked) -> Result<Self, BundleError> {
        let mut read = |range: ByteRange| {
            let len = usize::try_from(looked.count(range).bytes()).unwrap_or(usize::MAX);
            source
                .read_vec(range.start, len)
                .map_err(|source| BundleError::Io {
                    doing: "read a delta of",
                    path: bundle.path().to_owned(),
                    source,
                })
        };
        let head = DeltaHead::read(0, &mut read)?;
        let manifest = DeltaManifest::parse(&head.manifest)?;
        let (place, _) = head.places(manifest.index.bytes, manifest.data.bytes);
        let range = place.range(0, place.bytes);
        let bytes = match head.bytes(range) {
            Some(bytes) => bytes.to_vec(),
            None if place.bytes <= MAX_INDEX_BYTES => read(range)?,
            None => {
                return Err(BundleError::Oversized {
                    member: MemberName::Index,
                    bytes: place.bytes,
                    limit: MAX_INDEX_BYTES,
                });
            }
        };
        let found = FileDigest::of(&bytes);
        if found != manifest.index.sha256 {
            return Err(BundleError::Member {
                member: MemberName::Index,
                expected: manifest.index.sha256,
                found,
            });
        }
        let new = bundle.manifest();
        let old = manifest.from.as_ref().map(|old| (&old.root, &old.boot));
        let index = DeltaIndex::decode(&bytes, old, (&new.root, &new.boot), manifest.data.bytes)?;
        Ok(Self { manifest, index })
    }
}

/// The file of a delta beside a bundle, if there is one.
fn beside(bundle: &Path, from: Option<&RootHash>) -> Option<FileSource> {
    let name = file_name(bundle.to_str()?, from)?;
    FileSource::new(File::open(name).ok()?).ok()
}
