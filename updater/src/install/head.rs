//! The beginning of a bundle: what a device reads before it decides.

use outcrop_release::{
    bundle::{ARCHIVE_BLOCK_BYTES, ArchiveError, MemberName, Place, parse_header},
    manifest::{MAX_MANIFEST_BYTES, Members},
    plan::ByteRange,
    trust::MAX_SIGNATURES_BYTES,
};

use super::source::{Source, SourceError, fetch};

/// The beginning of a bundle can't be read.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Its bytes.
    #[error(transparent)]
    Source(#[from] SourceError),
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
    end: u64,
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

impl Head {
    /// Reads the first two members.
    ///
    /// # Errors
    /// When they aren't there or absurdly long.
    pub fn read(source: &mut impl Source) -> Result<Self, HeadError> {
        let (manifest, at) = member(source, MemberName::Manifest, 0, MAX_MANIFEST_BYTES)?;
        let (signatures, end) = member(source, MemberName::Signatures, at, MAX_SIGNATURES_BYTES)?;
        Ok(Self {
            manifest,
            signatures,
            end,
        })
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

/// A member whose header begins at `at`, and where the next header begins.
fn member(
    source: &mut impl Source,
    name: MemberName,
    at: u64,
    limit: usize,
) -> Result<(Vec<u8>, u64), HeadError> {
    let end = at + ARCHIVE_BLOCK_BYTES as u64;
    let header: Vec<u8> = fetch::<HeadError>(source, ByteRange { start: at, end })?;
    let header = header.first_chunk().ok_or(ArchiveError::Header(name))?;
    let place = Place::after_header(at, parse_header(name, header)?);
    if place.bytes > limit as u64 {
        return Err(HeadError::Oversized(name, place.bytes));
    }
    let range = ByteRange {
        start: place.start,
        end: place.start + place.bytes,
    };
    Ok((fetch::<HeadError>(source, range)?, place.next_header()))
}
