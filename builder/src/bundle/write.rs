//! Writes a bundle.

use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Seek as _, Write},
    path::Path,
    time::Duration,
};

use outcrop_release::{
    bundle::{ARCHIVE_BLOCK_BYTES, Index, MemberName, header},
    digest::{FileDigest, RootHash},
    manifest::{Manifest, Member, Members, RollbackIndex, Target, VerityParameters},
    name::ReleaseName,
    trust::{Purpose, Signatures},
    verity::{BLOCK_BYTES, HashTree, TreeBuilder},
};
use semver::Version;

use super::{
    BundleError,
    cuts::{self, Cut},
    frames::{self, Compressed, Compression},
};
use crate::sha256::Sha256;
use crate::{
    keys::PrivateKey,
    output::PendingFile,
    progress::{Phase, Progress, Unit},
    read_at::ReadAt,
};

/// The oldest updater that can install what this program writes.
const MINIMUM_UPDATER: Version = Version::new(0, 1, 0);

/// A payload and its tree.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// Its bytes: whole blocks.
    pub bytes: &'a (dyn ReadAt + Sync),
    /// The tree over them.
    pub tree: &'a HashTree,
}

/// What a bundle is made of.
pub struct Contents<'a> {
    /// Product, version, architecture, board.
    pub release: &'a ReleaseName,
    /// Never falls from release to release.
    pub rollback_index: RollbackIndex,
    /// How long the health checks of a trial may take.
    pub health_deadline: Duration,
    /// The Kubernetes that it carries, if any.
    pub kubernetes: Option<Version>,
    /// Root hash of the release after which the root is laid out, if any.
    pub layout_of: Option<RootHash>,
    /// SHA-256 of the certificate that the boot payload is signed by for Secure Boot.
    pub secure_boot: Option<FileDigest>,
    /// How much time its size is worth.
    pub compression: Compression,
    /// The boot payload.
    pub boot: Payload<'a>,
    /// The root file system.
    pub root: Payload<'a>,
}

/// A complete bundle that has no name yet.
#[derive(Debug)]
pub struct WrittenBundle {
    pending: PendingFile,
    /// What it is.
    pub manifest: Manifest,
    /// Its length, in bytes.
    pub bytes: u64,
    /// SHA-256 of all of it.
    pub digest: FileDigest,
}

impl WrittenBundle {
    /// Gives the bundle its name.
    ///
    /// # Errors
    /// When that fails; then it is gone.
    pub fn publish(self) -> io::Result<()> {
        self.pending.publish()
    }
}

/// Writes the bundle that will be called `target`, signed with `keys`. Its bytes depend on nothing else.
///
/// # Errors
/// When a payload isn't what its tree says, or a file can't be read or written.
pub fn write(
    target: &Path,
    contents: &Contents<'_>,
    keys: &[PrivateKey],
    progress: &dyn Progress,
) -> Result<WrittenBundle, BundleError> {
    let failed = |source| BundleError::Io {
        doing: "write the bundle",
        path: target.to_owned(),
        source,
    };
    let total = contents.boot.bytes.len() + contents.root.bytes.len();
    let phase = progress.phase("compress the bundle", Some(total), Unit::Bytes);
    // The index comes before the frames, and is known after them.
    let folder = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut kept = tempfile::tempfile_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    let (boot, root) = compress_both(contents, &mut kept, &failed, phase.as_ref())?;
    let index = Index {
        boot: boot.table,
        root: root.table,
    };
    let (index, verity) = (
        index.encode(),
        [contents.boot.tree.to_bytes(), contents.root.tree.to_bytes()].concat(),
    );
    let (index_member, index_top) = index.members();
    let members = Members {
        index: index_member,
        index_top,
        verity: member_of(&verity),
        boot: boot.member,
        root: root.member,
    };
    let manifest = manifest_of(contents, members);
    let bytes = manifest.to_bytes();
    let signatures = sign(&bytes, keys, target)?.to_bytes();
    let pending = PendingFile::create(target).map_err(failed)?;
    kept.rewind().map_err(failed)?;
    let begun = [
        (MemberName::Manifest, &bytes),
        (MemberName::Signatures, &signatures),
        (MemberName::Index, &index.bytes),
        (MemberName::Verity, &verity),
    ];
    let (bytes, digest) = put_together(pending.file(), &begun, &mut kept, &members).map_err(failed)?;
    Ok(WrittenBundle {
        pending,
        manifest,
        bytes,
        digest,
    })
}

/// Writes the frames of both payloads to `out`.
fn compress_both(
    contents: &Contents<'_>,
    out: &mut File,
    unwritten: &dyn Fn(io::Error) -> BundleError,
    phase: &dyn Phase,
) -> Result<(Compressed, Compressed), BundleError> {
    let mut out = BufWriter::new(out);
    let Contents {
        boot,
        root,
        release,
        compression,
        ..
    } = contents;
    let boot_cuts = cuts::of_boot(boot.bytes, release.board);
    let mut compress = |name, payload, cuts: &[Cut]| {
        compress((name, *compression), payload, cuts, &mut out, unwritten, phase)
    };
    let boot = compress(MemberName::Boot, boot, &boot_cuts)?;
    let root_cuts = cuts::of_root(root.bytes);
    let root = compress(MemberName::Root, root, &root_cuts)?;
    out.flush().map_err(unwritten)?;
    Ok((boot, root))
}

fn manifest_of(contents: &Contents<'_>, members: Members) -> Manifest {
    let superblock = contents.root.tree.superblock();
    Manifest {
        release: contents.release.clone(),
        rollback_index: contents.rollback_index,
        minimum_updater: MINIMUM_UPDATER,
        health_deadline: contents.health_deadline,
        kubernetes: contents.kubernetes.clone(),
        layout_of: contents.layout_of,
        secure_boot: contents.secure_boot,
        root: target_of(&contents.root),
        boot: target_of(&contents.boot),
        verity: VerityParameters {
            salt: superblock.salt,
            uuid: superblock.uuid,
        },
        members,
    }
}

/// Writes the archive: what is in memory, then the frames of both payloads; its length and digest.
fn put_together(
    file: &File,
    begun: &[(MemberName, &Vec<u8>)],
    frames: &mut File,
    members: &Members,
) -> io::Result<(u64, FileDigest)> {
    let mut archive = Archive::new(file);
    for (name, bytes) in begun {
        archive.member(*name, bytes)?;
    }
    for (name, member) in [
        (MemberName::Boot, &members.boot),
        (MemberName::Root, &members.root),
    ] {
        archive.copy(name, frames, member.bytes)?;
    }
    archive.finish()
}

fn compress(
    (name, compression): (MemberName, Compression),
    payload: &Payload<'_>,
    cuts: &[Cut],
    out: &mut dyn Write,
    unwritten: &dyn Fn(io::Error) -> BundleError,
    phase: &dyn Phase,
) -> Result<Compressed, BundleError> {
    let superblock = payload.tree.superblock();
    let compressed = frames::compress(
        name,
        payload.bytes,
        cuts,
        (&superblock.salt, compression),
        out,
        unwritten,
        phase,
    )?;
    // What was read must be what the tree was made of: the device will believe the tree alone.
    let mut again = TreeBuilder::new(superblock.uuid, superblock.salt);
    let found = again
        .push_hashes(&compressed.blocks)
        .and_then(|()| again.finish())
        .map_err(|source| BundleError::Tree {
            payload: name,
            source,
        })?;
    if found != *payload.tree {
        return Err(BundleError::Payload {
            payload: name,
            expected: payload.tree.root_hash(),
            found: found.root_hash(),
        });
    }
    Ok(compressed)
}

fn target_of(payload: &Payload<'_>) -> Target {
    Target {
        bytes: payload.tree.superblock().geometry.data_blocks() * BLOCK_BYTES as u64,
        root_hash: payload.tree.root_hash(),
    }
}

fn member_of(bytes: &[u8]) -> Member {
    Member {
        bytes: bytes.len() as u64,
        sha256: FileDigest::of(bytes),
    }
}

/// The signatures of all `keys`, in their order.
fn sign(manifest: &[u8], keys: &[PrivateKey], target: &Path) -> Result<Signatures, BundleError> {
    let mut signatures = Signatures::default();
    for key in keys {
        let signature = key.sign(Purpose::Release, manifest)?;
        let key = signature.key;
        signatures
            .add(signature)
            .map_err(|_| BundleError::AlreadySigned {
                key,
                path: target.to_owned(),
            })?;
    }
    Ok(signatures)
}

/// The tar archive, hashed as it is written.
pub(crate) struct Archive<W: Write> {
    out: BufWriter<W>,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 20, out),
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// Writes a member that is in memory.
    pub(crate) fn member(&mut self, name: MemberName, bytes: &[u8]) -> io::Result<()> {
        self.copy(name, &mut &*bytes, bytes.len() as u64)
    }

    /// Writes a member of `len` bytes that `from` gives next.
    pub(crate) fn copy(&mut self, name: MemberName, from: &mut dyn io::Read, len: u64) -> io::Result<()> {
        self.write_all(&header(name, len).map_err(io::Error::other)?)?;
        let copied = io::copy(&mut from.take(len), self)?;
        if copied != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let padding = len.next_multiple_of(ARCHIVE_BLOCK_BYTES as u64) - len;
        io::copy(&mut io::repeat(0).take(padding), self).map(drop)
    }

    /// Ends the archive; its length and digest.
    pub(crate) fn finish(mut self) -> io::Result<(u64, FileDigest)> {
        self.write_all(&[0; 2 * ARCHIVE_BLOCK_BYTES])?;
        self.out.flush()?;
        Ok((self.bytes, FileDigest::from_bytes(self.hash.finish())))
    }
}

impl<W: Write> Write for Archive<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
