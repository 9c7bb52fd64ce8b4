//! Makes deltas: what a device that has one release needs of the next.
//!
//! ```text
//! two bundles ─→ spans: blocks that the old payload has ─→ texts: files, paired with what they were
//!                       └─→ bsdiff's search ─→ ops ─→ frames of three LZMA streams ─→ signed file, beside the bundle or in it
//! ```
//! The boot payload of x86_64 is made up to three times: as it is, with the kernel's bare form, and with a plain kernel for devices that have the
//! memory to pack it, if that gives the same bytes again. Decisions and figures: docs/adr/0018-deltas.md.

mod anchors;
mod boot;
mod code;
mod error;
mod frames;
mod matching;
mod ops;
mod payload;
mod records;
mod spans;
mod text;
mod write;

use std::{fs::File, path::Path};

use outcrop_release::{
    bundle::MemberName,
    delta::{DeltaIndex, DeltaManifest, OldRelease},
    digest::FileDigest,
    manifest::{Manifest, Member},
    name::ReleaseName,
    verity::{BLOCK_BYTES, HashTree},
};

pub use error::DeltaError;
pub use write::{add_to_bundle, write_beside};

use self::payload::{Made, Side};
use crate::{
    bundle::Bundle,
    erofs::Reader,
    error::Error,
    keys::PrivateKey,
    progress::{Progress, Unit},
    read_at::{FileSource, ReadAt as _},
};

/// A delta, complete but for its name.
#[derive(Debug)]
pub struct Delta {
    /// What it is.
    pub manifest: DeltaManifest,
    signatures: Vec<u8>,
    index: Vec<u8>,
    data: Vec<Vec<u8>>,
    /// What it is made of.
    pub summary: DeltaSummary,
}

/// A delta's figures, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeltaSummary {
    /// Its index.
    pub index: u64,
    /// Frames of the root file system.
    pub root: u64,
    /// Frames of the boot payload.
    pub boot: u64,
    /// Frames of the boot payload for devices that pack the kernel themselves, if there are any.
    pub packed: Option<u64>,
    /// Frames of the boot payload by way of the kernel's bare form, if there are any.
    pub bare: Option<u64>,
    /// Patched blocks of the root that belong to content of files: not the file system's own.
    pub file_blocks: u64,
}

/// A release that was unpacked: its payloads and trees.
struct Unpacked {
    root: FileSource,
    boot: Vec<u8>,
    boot_tree: HashTree,
    root_tree: HashTree,
}

/// Makes the delta from `old` (from nothing without one) to `new`, signed with `keys`. The same releases and keys give the same bytes.
/// `scratch` is a folder for the unpacked releases.
///
/// # Errors
/// When the releases don't belong together, are damaged, or can't be read.
pub fn make(
    old: Option<&Bundle>,
    new: &Bundle,
    keys: &[PrivateKey],
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<Delta, Error> {
    if keys.is_empty() {
        return Err(DeltaError::NoKey.into());
    }
    if let Some(old) = old {
        check_pair(&old.manifest().release, &new.manifest().release)?;
    }
    let before = old.map(|old| Unpacked::of(old, scratch, progress)).transpose()?;
    let after = Unpacked::of(new, scratch, progress)?;
    let total = new.manifest().root.bytes;
    let phase = progress.phase("compare the releases", Some(total), Unit::Bytes);
    let ways = match &before {
        Some(before) => boot::ways(&before.boot, &after.boot, phase.as_ref())?,
        None => boot::Ways::default(),
    };
    let texts = boot::texts(before.as_ref().map(|before| before.boot.as_slice()), &after.boot);
    let boot = payload::make(
        before.as_ref().map(Unpacked::boot_side),
        after.boot_side(),
        &texts,
        &code::CodeRanges::default(),
        phase.as_ref(),
    )?;
    let texts = root_texts(old.zip(before.as_ref()), (new, &after))?;
    let code = code::of_texts(&texts, &after.root).map_err(|source| DeltaError::Payload { source })?;
    let root = payload::make(
        before.as_ref().map(Unpacked::root_side),
        after.root_side(),
        &texts,
        &code,
        phase.as_ref(),
    )?;
    let file_blocks = file_blocks(&texts, &root);
    drop(phase);
    // What saves nothing isn't worth its place.
    let ways = boot::Ways {
        packed: ways
            .packed
            .filter(|(packed, _)| packed.bytes() < boot.delta.bytes()),
        bare: ways.bare.filter(|(bare, _)| bare.bytes() < boot.delta.bytes()),
    };
    let mut made = signed(old.map(Bundle::manifest), new, root, boot, ways, keys)?;
    made.summary.file_blocks = file_blocks;
    Ok(made)
}

/// Bytes of the patched blocks that belong to files: all texts but the last are files.
fn file_blocks(texts: &[text::Text], root: &Made) -> u64 {
    let files = texts.split_last().map_or(&[][..], |(_, files)| files);
    let ranges = files.iter().flat_map(|text| &text.new);
    let patched = ranges.map(|range| u64::from(root.delta.spans.patched(range.start, range.end)));
    patched.sum::<u64>() * BLOCK_BYTES as u64
}

fn check_pair(old: &ReleaseName, new: &ReleaseName) -> Result<(), DeltaError> {
    if old == new {
        return Err(DeltaError::Same(Box::new(new.clone())));
    }
    let same = old.image == new.image && old.architecture == new.architecture && old.board == new.board;
    if same {
        Ok(())
    } else {
        Err(DeltaError::Other {
            from: Box::new(old.clone()),
            to: Box::new(new.clone()),
        })
    }
}

impl Unpacked {
    fn of(bundle: &Bundle, scratch: &Path, progress: &dyn Progress) -> Result<Self, Error> {
        let failed = |source| DeltaError::Io {
            doing: "unpack a release in",
            path: scratch.to_owned(),
            source,
        };
        let unpack = |name| -> Result<FileSource, Error> {
            let file: File = tempfile::tempfile_in(scratch).map_err(failed)?;
            bundle.extract(name, &file, scratch, progress)?;
            Ok(FileSource::new(file).map_err(failed)?)
        };
        let (boot_tree, root_tree) = bundle.trees()?;
        let boot = unpack(MemberName::Boot)?;
        let len = usize::try_from(boot.len()).unwrap_or(usize::MAX);
        Ok(Self {
            root: unpack(MemberName::Root)?,
            boot: boot.read_vec(0, len).map_err(failed)?,
            boot_tree,
            root_tree,
        })
    }

    fn boot_side(&self) -> Side<'_> {
        Side {
            bytes: &self.boot,
            tree: &self.boot_tree,
        }
    }

    fn root_side(&self) -> Side<'_> {
        Side {
            bytes: &self.root,
            tree: &self.root_tree,
        }
    }
}

fn root_texts(
    old: Option<(&Bundle, &Unpacked)>,
    (bundle, new): (&Bundle, &Unpacked),
) -> Result<Vec<text::Text>, DeltaError> {
    let files = |bundle: &Bundle| {
        let of = Box::new(bundle.manifest().release.clone());
        move |source| DeltaError::Files { of, source }
    };
    let before = old
        .map(|(bundle, old)| Reader::open(&old.root).map_err(files(bundle)))
        .transpose()?;
    let after = Reader::open(&new.root).map_err(files(bundle))?;
    let blocks = u32::try_from(new.root_tree.leaves().len()).unwrap_or(u32::MAX);
    text::of_root(before.as_ref(), &after, blocks).map_err(files(bundle))
}

fn signed(
    old: Option<&Manifest>,
    new: &Bundle,
    root: Made,
    boot: Made,
    ways: boot::Ways,
    keys: &[PrivateKey],
) -> Result<Delta, Error> {
    let (packed, packed_data) = ways.packed.unzip();
    let (bare, bare_data) = ways.bare.unzip();
    let index = DeltaIndex {
        root: root.delta,
        boot: boot.delta,
        packed,
        bare,
    };
    let mut summary = DeltaSummary {
        index: 0,
        root: index.root.bytes(),
        boot: index.boot.bytes(),
        packed: index
            .packed
            .as_ref()
            .map(outcrop_release::delta::PackedBoot::bytes),
        bare: index.bare.as_ref().map(outcrop_release::delta::BareBoot::bytes),
        file_blocks: 0,
    };
    let index = index.encode();
    summary.index = index.len() as u64;
    let data = [
        root.data,
        boot.data,
        packed_data.unwrap_or_default(),
        bare_data.unwrap_or_default(),
    ]
    .concat();
    let mut hash = crate::sha256::Sha256::new();
    data.iter().for_each(|frame| hash.update(frame));
    let manifest = DeltaManifest {
        release: new.manifest().release.clone(),
        manifest: FileDigest::of(new.manifest_bytes()),
        from: old.map(|old| OldRelease {
            version: old.release.version.clone(),
            root: old.root,
            boot: old.boot,
        }),
        index: Member {
            bytes: index.len() as u64,
            sha256: FileDigest::of(&index),
        },
        data: Member {
            bytes: data.iter().map(|frame| frame.len() as u64).sum(),
            sha256: FileDigest::from_bytes(hash.finish()),
        },
    };
    let signatures = write::sign(&manifest.to_bytes(), keys)?;
    Ok(Delta {
        manifest,
        signatures,
        index,
        data,
        summary,
    })
}
