//! Looks for a delta: in the bundle, then beside it. One that isn't there, or isn't trusted, costs bytes, nothing else.

use outcrop_release::{
    bundle::{ARCHIVE_BLOCK_BYTES, HeadError, Layout, MemberName, Place, parse_header},
    delta::{
        DIRECTORY_BYTES, DeltaHead, DeltaIndex, DeltaIndexError, DeltaManifest, DirectoryError,
        MAX_INDEX_BYTES, parse_directory,
    },
    digest::{FileDigest, RootHash},
    plan::{
        ByteRange,
        survey::{Looked, UsableDelta},
    },
    slot::Slot,
    trust::{Trust, Untrusted, VerifiedRelease, verify_delta},
    verity::{BLOCK_BYTES, Superblock, TOP_BLOCK_OFFSET, root_hash_of_top_block},
};

use crate::disk::{Area, Disk};

use super::source::{Source, SourceError, fetch};

/// Why a delta isn't used.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Its bytes.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its beginning.
    #[error("read the beginning of a delta")]
    Head(#[from] HeadError),
    /// The bundle's directory of deltas.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its signatures.
    #[error("check who signed a delta")]
    Untrusted(#[from] Untrusted),
    /// It is for another release.
    #[error("the delta is for another release, or another version of it")]
    Other,
    /// Its index isn't what its manifest says.
    #[error("the delta's index isn't what its manifest says")]
    Digest,
    /// Its index.
    #[error(transparent)]
    Index(#[from] DeltaIndexError),
}

/// A delta that is signed for the release that is installed.
pub struct FoundDelta<S> {
    /// The file that it is; none when it lies in the bundle.
    pub(super) file: Option<S>,
    pub(super) manifest: DeltaManifest,
    pub(super) index: DeltaIndex,
    /// Where its frames lie.
    pub(super) data: Place,
}

/// Where deltas are looked for.
pub struct Search<'a, S> {
    /// The bundle.
    pub bundle: &'a mut S,
    /// Where its members lie.
    pub layout: Layout,
    /// The release in it.
    pub release: &'a VerifiedRelease,
    /// Who may sign.
    pub trust: &'a Trust,
    /// What runs.
    pub running: RootHash,
    /// Opens the delta beside the bundle that starts from a release, or from nothing.
    pub beside: &'a mut dyn FnMut(Option<&RootHash>) -> Option<S>,
}

impl<S> FoundDelta<S> {
    /// What planning wants of it, for a device with so much memory to spare.
    #[must_use]
    pub const fn usable(&self, memory: u64) -> UsableDelta<'_> {
        UsableDelta {
            manifest: &self.manifest,
            index: &self.index,
            memory,
        }
    }
}

impl<S: Source> Search<'_, S> {
    /// The delta from what runs; else one from nothing; and what looking for it fetched. Reasons why others weren't taken are handed
    /// to `skipped`.
    ///
    /// # Errors
    /// When it shall stop.
    pub fn find(
        mut self,
        skipped: &mut dyn FnMut(DeltaError),
    ) -> Result<(Option<FoundDelta<S>>, Looked), SourceError> {
        let mut fetched = Looked::default();
        let inside = match self.directory(&mut fetched) {
            Ok(inside) => inside,
            Err(error) => {
                give_up(error, skipped)?;
                Vec::new()
            }
        };
        for from in [Some(self.running), None] {
            let place = inside
                .iter()
                .find(|(there, _)| *there == from)
                .map(|(_, start)| *start);
            let found = match place {
                Some(start) => self.open(start, None, from, &mut fetched),
                None => match (self.beside)(from.as_ref()) {
                    Some(file) => self.open(0, Some(file), from, &mut fetched),
                    None => continue,
                },
            };
            match found {
                Ok(found) => return Ok((Some(found), fetched)),
                // Most releases have none beside them.
                Err(DeltaError::Source(SourceError::Status(404 | 410))) => {}
                Err(error) => give_up(error, skipped)?,
            }
        }
        Ok((None, fetched))
    }

    /// What the deltas in the bundle start from, and where each lies in it.
    fn directory(&mut self, fetched: &mut Looked) -> Result<Vec<(Option<RootHash>, u64)>, DeltaError> {
        let header = self.layout.root.next_header();
        // Where there are none, the archive's end is as long.
        let range = ByteRange {
            start: header,
            end: header + (ARCHIVE_BLOCK_BYTES + DIRECTORY_BYTES) as u64,
        };
        let bytes = fetch::<DeltaError>(self.bundle, fetched.count(range))?;
        let (block, directory) = bytes.split_first_chunk().ok_or(DirectoryError::Form)?;
        if *block == [0; ARCHIVE_BLOCK_BYTES] {
            return Ok(Vec::new());
        }
        let len = parse_header(MemberName::Deltas, block).map_err(HeadError::from)?;
        let place = Place::after_header(header, len);
        let directory = directory.first_chunk().ok_or(DirectoryError::Form)?;
        let entries = parse_directory(directory, len)?;
        Ok(entries
            .iter()
            .map(|entry| (entry.from, place.start + entry.start))
            .collect())
    }

    fn open(
        &mut self,
        start: u64,
        mut file: Option<S>,
        from: Option<RootHash>,
        fetched: &mut Looked,
    ) -> Result<FoundDelta<S>, DeltaError> {
        let source = match &mut file {
            Some(file) => file,
            None => &mut *self.bundle,
        };
        let head = DeltaHead::read(start, |range| fetch::<DeltaError>(source, fetched.count(range)))?;
        let verified = verify_delta(&head.manifest, &head.signatures, self.trust)?;
        let manifest = verified.manifest();
        let starts_from = manifest.from.as_ref().map(|old| old.root.root_hash);
        if manifest.manifest != self.release.digest() || starts_from != from {
            return Err(DeltaError::Other);
        }
        if manifest.index.bytes > MAX_INDEX_BYTES {
            return Err(DeltaError::Digest);
        }
        let (index, data) = head.places(manifest.index.bytes, manifest.data.bytes);
        let range = index.range(0, index.bytes);
        let bytes = match head.bytes(range) {
            Some(bytes) => bytes.to_vec(),
            None => fetch::<DeltaError>(source, fetched.count(range))?,
        };
        if FileDigest::of(&bytes) != manifest.index.sha256 {
            return Err(DeltaError::Digest);
        }
        let release = self.release.manifest();
        let index = DeltaIndex::decode(
            &bytes,
            manifest.from.as_ref().map(|old| (&old.root, &old.boot)),
            (&release.root, &release.boot),
            manifest.data.bytes,
        )?;
        Ok(FoundDelta {
            file,
            manifest: manifest.clone(),
            index,
            data,
        })
    }
}

/// Root hash of the release that a slot holds, by its tree as it lies on the disk; none when there is no tree.
#[must_use]
pub fn root_hash_of(disk: &impl Disk, slot: Slot) -> Option<RootHash> {
    let mut block = [0; BLOCK_BYTES];
    disk.read(Area::Verity(slot), 0, &mut block).ok()?;
    let superblock = Superblock::parse(&block).ok()?;
    disk.read(Area::Verity(slot), TOP_BLOCK_OFFSET, &mut block).ok()?;
    Some(root_hash_of_top_block(&superblock.salt, &block))
}

/// Goes on without a delta, unless it shall stop.
fn give_up(error: DeltaError, skipped: &mut dyn FnMut(DeltaError)) -> Result<(), SourceError> {
    match error {
        DeltaError::Source(SourceError::Interrupted) => Err(SourceError::Interrupted),
        other => {
            skipped(other);
            Ok(())
        }
    }
}
