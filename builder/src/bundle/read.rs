//! Reads a bundle back.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use outcrop_release::{
    bundle::{ARCHIVE_BLOCK_BYTES, Index, MemberName, Place, end, parse_header},
    delta::{DIRECTORY_BYTES, parse_directory},
    digest::{FileDigest, RootHash},
    manifest::{MAX_MANIFEST_BYTES, Manifest, Target},
    plan::ByteRange,
    trust::{MAX_SIGNATURES_BYTES, Signatures, Trust, VerifiedRelease, verify},
    verity::{BLOCK_BYTES, Geometry, HashTree},
};

use super::{BundleError, boot_signature::SignedPayload, frames};
use crate::sha256::Sha256;
use crate::{
    progress::{Progress, Unit},
    read_at::{FileSource, ReadAt as _, Window},
};

/// Longest index or verity member that is read into memory: the trees of 64 GiB.
const MAX_MEMORY_MEMBER: u64 = 1 << 29;
/// Bytes that are hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// An opened bundle: its headers and its first two members are read, nothing is believed.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    source: Arc<FileSource>,
    places: Vec<(MemberName, Place)>,
    deltas: Option<Place>,
    manifest_bytes: Vec<u8>,
    signatures_bytes: Vec<u8>,
    manifest: Manifest,
    signatures: Signatures,
}

/// A delta in a bundle: the root hash of the release that it starts from, none when it needs nothing, and its bytes.
pub type BundledDelta = (Option<RootHash>, Window<Arc<FileSource>>);

/// What a check of all bytes found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Frames whose blocks match the trees.
    pub frames: usize,
    /// Blocks of both payloads.
    pub blocks: u64,
    /// The certificate whose signature for Secure Boot the boot payload has: its SHA-256. None when the manifest names none.
    pub secure_boot: Option<FileDigest>,
}

impl Bundle {
    /// Opens a bundle.
    ///
    /// # Errors
    /// When it isn't one, is cut off, or goes on after its end.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let failed = |source| BundleError::Io {
            doing: "read the bundle",
            path: path.to_owned(),
            source,
        };
        let source = FileSource::new(File::open(path).map_err(failed)?).map_err(failed)?;
        let places = places(path, &source)?;
        let small = |wanted: MemberName, limit: usize| {
            let (_, place) = find(&places, wanted);
            let limit = limit as u64;
            if place.bytes > limit {
                return Err(BundleError::Oversized {
                    member: wanted,
                    bytes: place.bytes,
                    limit,
                });
            }
            let len = usize::try_from(place.bytes).unwrap_or_default();
            source.read_vec(place.start, len).map_err(failed)
        };
        let manifest_bytes = small(MemberName::Manifest, MAX_MANIFEST_BYTES)?;
        let signatures_bytes = small(MemberName::Signatures, MAX_SIGNATURES_BYTES)?;
        let manifest = Manifest::parse(&manifest_bytes)?;
        // A device finds the members by these lengths alone.
        for (member, expected) in [
            (MemberName::Index, manifest.members.index.bytes),
            (MemberName::Verity, manifest.members.verity.bytes),
            (MemberName::Boot, manifest.members.boot.bytes),
            (MemberName::Root, manifest.members.root.bytes),
        ] {
            let found = find(&places, member).1.bytes;
            if found != expected {
                return Err(BundleError::MemberLength {
                    member,
                    expected,
                    found,
                });
            }
        }
        Ok(Self {
            path: path.to_owned(),
            manifest,
            signatures: Signatures::parse(&signatures_bytes)?,
            source: Arc::new(source),
            deltas: places.get(MemberName::ALL.len()).map(|(_, place)| *place),
            places,
            manifest_bytes,
            signatures_bytes,
        })
    }

    /// What it says to be.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's exact bytes.
    #[must_use]
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Who says to have signed it.
    #[must_use]
    pub const fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// Its length, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.source.len()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks who signed it. That says nothing about the members yet.
    ///
    /// # Errors
    /// When `trust` doesn't trust it.
    pub fn verify(&self, trust: &Trust) -> Result<VerifiedRelease, BundleError> {
        Ok(verify(&self.manifest_bytes, &self.signatures_bytes, trust)?)
    }

    /// The members that it has, in their order.
    pub(super) fn members(&self) -> impl Iterator<Item = MemberName> {
        self.places.iter().map(|(name, _)| *name)
    }

    /// The bytes of a member.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn member(&self, name: MemberName) -> Result<Window<Arc<FileSource>>, BundleError> {
        let (_, place) = find(&self.places, name);
        Window::new(Arc::clone(&self.source), place.start, place.bytes).map_err(|source| self.failed(source))
    }

    /// Checks every byte against the manifest: digests of the members, trees against the root hashes, every frame's blocks
    /// against the trees; and the boot payload's signature for Secure Boot, where the manifest says that there is one.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, progress: &dyn Progress) -> Result<Checked, BundleError> {
        let members = &self.manifest.members;
        let total = [members.index, members.verity, members.boot, members.root]
            .iter()
            .map(|member| member.bytes)
            .sum();
        let phase = progress.phase("check digests", Some(total), Unit::Bytes);
        for (name, expected) in [
            (MemberName::Index, members.index),
            (MemberName::Verity, members.verity),
            (MemberName::Boot, members.boot),
            (MemberName::Root, members.root),
        ] {
            let found = self.digest(name, phase.as_ref())?;
            if found != expected.sha256 {
                return Err(BundleError::Member {
                    member: name,
                    expected: expected.sha256,
                    found,
                });
            }
        }
        drop(phase);
        let index = Index::decode(&self.in_memory(MemberName::Index)?, &self.manifest)?;
        let (boot, root) = self.trees()?;
        let (boot_blocks, root_blocks) = (index.boot.totals().0, index.root.totals().0);
        let blocks = boot_blocks + root_blocks;
        let phase = progress.phase("check blocks", Some(blocks * BLOCK_BYTES as u64), Unit::Bytes);
        let signed = self.manifest.secure_boot;
        let signed = signed
            .map(|certificate| SignedPayload::new(certificate, self.manifest.boot.bytes))
            .transpose()?;
        let keep =
            |first: u64, blocks: &[u8]| signed.as_ref().map_or(Ok(()), |signed| signed.put(first, blocks));
        let member = self.member(MemberName::Boot)?;
        frames::check(
            MemberName::Boot,
            &member,
            &index.boot,
            &boot,
            phase.as_ref(),
            &keep,
        )?;
        let member = self.member(MemberName::Root)?;
        frames::check(
            MemberName::Root,
            &member,
            &index.root,
            &root,
            phase.as_ref(),
            &|_, _| Ok(()),
        )?;
        Ok(Checked {
            frames: index.boot.frames().len() + index.root.frames().len(),
            blocks,
            secure_boot: signed.map(SignedPayload::check).transpose()?,
        })
    }

    /// Bytes of the file, for small ranges.
    pub(super) fn range(&self, range: ByteRange) -> Result<Vec<u8>, BundleError> {
        let len = usize::try_from(range.bytes()).unwrap_or(usize::MAX);
        let read = self.source.read_vec(range.start, len);
        read.map_err(|source| self.failed(source))
    }

    /// The deltas in it: what each starts from, and its bytes.
    ///
    /// # Errors
    /// When their directory is damaged, or can't be read.
    pub fn deltas(&self) -> Result<Vec<BundledDelta>, BundleError> {
        let Some(place) = self.deltas else {
            return Ok(Vec::new());
        };
        let mut directory = [0; DIRECTORY_BYTES];
        self.source
            .read_exact_at(&mut directory, place.start)
            .map_err(|source| self.failed(source))?;
        let entries = parse_directory(&directory, place.bytes).map_err(|source| BundleError::Deltas {
            path: self.path.clone(),
            source,
        })?;
        entries
            .into_iter()
            .map(|entry| {
                let start = place.start + entry.start;
                let window = Window::new(Arc::clone(&self.source), start, entry.bytes);
                Ok((entry.from, window.map_err(|source| self.failed(source))?))
            })
            .collect()
    }

    /// Writes a payload to `out`, and checks each of its blocks against its tree.
    ///
    /// # Errors
    /// When one is damaged, or `out` (at `path`) can't be written.
    pub fn extract(
        &self,
        payload: MemberName,
        out: &File,
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<(), BundleError> {
        let index = Index::decode(&self.in_memory(MemberName::Index)?, &self.manifest)?;
        let (boot, root) = self.trees()?;
        let (table, tree, target) = match payload {
            MemberName::Boot => (&index.boot, &boot, &self.manifest.boot),
            _ => (&index.root, &root, &self.manifest.root),
        };
        let member = self.member(payload)?;
        let phase = progress.phase("unpack the bundle", Some(target.bytes), Unit::Bytes);
        let write = |first: u64, blocks: &[u8]| {
            let written = out.write_all_at(blocks, first * BLOCK_BYTES as u64);
            written.map_err(|source| BundleError::Io {
                doing: "unpack the bundle in",
                path: path.to_owned(),
                source,
            })
        };
        frames::check(payload, &member, table, tree, phase.as_ref(), &write)
    }

    /// The boot payload's tree and the root's.
    ///
    /// # Errors
    /// When they aren't what the manifest says.
    pub fn trees(&self) -> Result<(HashTree, HashTree), BundleError> {
        let bytes = self.in_memory(MemberName::Verity)?;
        let length = |payload: MemberName, target: &Target| {
            let geometry = Geometry::new(target.bytes / BLOCK_BYTES as u64);
            geometry
                .map(Geometry::partition_bytes)
                .map_err(|source| BundleError::Tree {
                    payload,
                    source: source.into(),
                })
        };
        let boot = length(MemberName::Boot, &self.manifest.boot)?;
        let expected = boot + length(MemberName::Root, &self.manifest.root)?;
        let found = bytes.len() as u64;
        let split = usize::try_from(boot).ok().filter(|_| found == expected);
        let (boot, root) = split
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or(BundleError::TreeLength { expected, found })?;
        let parse = |payload, bytes, target: &Target| {
            let tree = HashTree::parse(bytes, &target.root_hash)
                .map_err(|source| BundleError::Tree { payload, source })?;
            let superblock = tree.superblock();
            let verity = self.manifest.verity;
            if (superblock.salt, superblock.uuid) != (verity.salt, verity.uuid) {
                return Err(BundleError::Superblock(payload));
            }
            // The root hash doesn't cover the number of blocks.
            if tree.superblock().geometry.data_bytes() != target.bytes {
                return Err(BundleError::TreeLength {
                    expected: target.bytes,
                    found: tree.superblock().geometry.data_bytes(),
                });
            }
            Ok(tree)
        };
        Ok((
            parse(MemberName::Boot, boot, &self.manifest.boot)?,
            parse(MemberName::Root, root, &self.manifest.root)?,
        ))
    }

    fn in_memory(&self, name: MemberName) -> Result<Vec<u8>, BundleError> {
        let member = self.member(name)?;
        let bytes = member.len();
        if bytes > MAX_MEMORY_MEMBER {
            return Err(BundleError::Oversized {
                member: name,
                bytes,
                limit: MAX_MEMORY_MEMBER,
            });
        }
        let len = usize::try_from(bytes).unwrap_or_default();
        member.read_vec(0, len).map_err(|source| self.failed(source))
    }

    fn digest(
        &self,
        name: MemberName,
        phase: &dyn crate::progress::Phase,
    ) -> Result<FileDigest, BundleError> {
        let member = self.member(name)?;
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < member.len() {
            phase.checkpoint()?;
            let len = usize::try_from(member.len() - at)
                .unwrap_or(CHUNK_BYTES)
                .min(CHUNK_BYTES);
            let bytes = member.read_vec(at, len).map_err(|source| self.failed(source))?;
            hash.update(&bytes);
            at += len as u64;
            phase.advance(len as u64);
        }
        Ok(FileDigest::from_bytes(hash.finish()))
    }

    fn failed(&self, source: std::io::Error) -> BundleError {
        BundleError::Io {
            doing: "read the bundle",
            path: self.path.clone(),
            source,
        }
    }
}

/// The place of a member: [`places`] has found all of them.
fn find(places: &[(MemberName, Place)], wanted: MemberName) -> (MemberName, Place) {
    let nowhere = Place { start: 0, bytes: 0 };
    let found = places.iter().find(|(name, _)| *name == wanted);
    found.copied().unwrap_or((wanted, nowhere))
}

/// Where the members lie: all, in their order, with nothing but zeros between them and after them.
fn places(path: &Path, source: &FileSource) -> Result<Vec<(MemberName, Place)>, BundleError> {
    let failed = |source| BundleError::Io {
        doing: "read the bundle",
        path: path.to_owned(),
        source,
    };
    let mut places: Vec<(MemberName, Place)> = Vec::new();
    let mut at = 0;
    for name in MemberName::ALL.into_iter().chain([MemberName::Deltas]) {
        let mut block = [0; ARCHIVE_BLOCK_BYTES];
        if at + ARCHIVE_BLOCK_BYTES as u64 > source.len() {
            return Err(BundleError::Length {
                path: path.to_owned(),
                expected: at + ARCHIVE_BLOCK_BYTES as u64,
                found: source.len(),
            });
        }
        source.read_exact_at(&mut block, at).map_err(failed)?;
        if name == MemberName::Deltas && block == [0; ARCHIVE_BLOCK_BYTES] {
            break; // the archive's end: it has none
        }
        let bytes = parse_header(name, &block).map_err(|source| BundleError::Archive {
            path: path.to_owned(),
            source,
        })?;
        let place = Place::after_header(at, bytes);
        at = place.next_header();
        places.push((name, place));
    }
    let expected = places.last().map_or(0, |(_, last)| end(last));
    if source.len() != expected {
        return Err(BundleError::Length {
            path: path.to_owned(),
            expected,
            found: source.len(),
        });
    }
    let last_member = places.last().map(|(name, _)| *name);
    for (member, place) in &places {
        let last = Some(*member) == last_member;
        let until = if last { expected } else { place.next_header() };
        let from = place.start + place.bytes;
        let len = usize::try_from(until - from).unwrap_or_default();
        let zeros = source.read_vec(from, len).map_err(failed)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(BundleError::Padding {
                path: path.to_owned(),
                member: *member,
            });
        }
    }
    Ok(places)
}
