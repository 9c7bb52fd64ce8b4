//! The manifest: what a release is, and the digest of every byte that belongs to it.
//!
//! It is JSON, and what is signed are its exact bytes: nothing re-writes it. `docs/formats.md` lists the fields.

mod image;
pub(crate) mod json;
mod running;
mod sizes;
#[cfg(test)]
pub(crate) use json::tests;

use std::time::Duration;

use semver::Version;
use uuid::Uuid;

pub use image::ImageManifest;
pub use json::{MAX_DEADLINE, ManifestError};
pub use running::RunningManifest;
pub use sizes::{MAX_MANIFEST_BYTES, MAX_MEMBER_BYTES, MAX_TARGET_BYTES};

use crate::{
    digest::{FileDigest, RootHash},
    name::ReleaseName,
    verity::Salt,
};

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// A number that only rises: a device refuses a release whose index is lower than its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RollbackIndex(pub u32);

/// A member of the bundle: how long it is, and its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// Length in the bundle, in bytes, at most [`MAX_MEMBER_BYTES`].
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub sha256: FileDigest,
}

/// A payload after decompression: what a slot holds in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// Length, in bytes: whole blocks of 4096, at most [`MAX_TARGET_BYTES`].
    pub bytes: u64,
    /// Top hash of its dm-verity tree.
    pub root_hash: RootHash,
}

/// The bundle's members besides the manifest and its signatures, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Members {
    /// The frame table.
    pub index: Member,
    /// The first bytes of `index`, by which a device believes the rest piece by piece.
    pub index_top: Member,
    /// The hash trees.
    pub verity: Member,
    /// Frames of the boot payload.
    pub boot: Member,
    /// Frames of the root file system.
    pub root: Member,
}

/// What both hash trees have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerityParameters {
    /// Salt of every hash: the same for all releases of a product.
    pub salt: Salt,
    /// What the superblocks are called.
    pub uuid: Uuid,
}

/// What a release is. Reading one says nothing about who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Product, version, architecture, board.
    pub release: ReleaseName,
    /// Never falls from release to release.
    pub rollback_index: RollbackIndex,
    /// The oldest updater that can install it.
    pub minimum_updater: Version,
    /// How long the health checks of a trial may take.
    pub health_deadline: Duration,
    /// The Kubernetes that it carries, if any: devices refuse to skip a minor version.
    pub kubernetes: Option<Version>,
    /// Root hash of the release after which the root file system was laid out, if any: whoever builds it again needs that one. A
    /// device doesn't look at it.
    pub layout_of: Option<RootHash>,
    /// SHA-256 of the certificate that the boot payload is signed by for UEFI Secure Boot, if any: such a payload starts only from a slot of
    /// exactly its length.
    pub secure_boot: Option<FileDigest>,
    /// The root file system.
    pub root: Target,
    /// The boot payload.
    pub boot: Target,
    /// What their hash trees are made with.
    pub verity: VerityParameters,
    /// What the bundle is made of.
    pub members: Members,
}

impl Manifest {
    /// The manifest as it is signed: JSON, one field a line, a line break at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        json::write(self)
    }

    /// Reads a manifest. That says nothing about who made it.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        json::parse(bytes)
    }
}
