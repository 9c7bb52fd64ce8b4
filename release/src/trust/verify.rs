//! From signed bytes to a release that may be installed.

use super::{
    file::{Role, Trust},
    key::PublicKey,
    signature::{SignatureError, Signatures},
};
use crate::{
    delta::DeltaManifest,
    digest::FileDigest,
    manifest::{ImageManifest, Manifest, ManifestError},
    signed::SignedDocument,
};

/// What precedes the manifest in the signed message, so that a signature made for anything else, by a program that shares the
/// key, can't be taken for one of a release.
const RELEASE_DOMAIN: &[u8] = b"outcrop release manifest 1\0";
/// The same for the manifest of a disk image.
const IMAGE_DOMAIN: &[u8] = b"outcrop image manifest 1\0";
/// The same for the manifest of a delta.
const DELTA_DOMAIN: &[u8] = b"outcrop delta manifest 1\0";

/// The same for a channel.
const CHANNEL_DOMAIN: &[u8] = b"outcrop channel 1\0";
/// The same for a device's report.
const REPORT_DOMAIN: &[u8] = b"outcrop report 1\0";

/// A release that enough trusted keys have signed. Nothing but [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRelease {
    manifest: Manifest,
    digest: FileDigest,
    signers: Vec<String>,
}

/// Why a release isn't trusted.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// The signature file can't be read.
    #[error("check who signed the release")]
    Signatures(#[from] SignatureError),
    /// A trusted key's signature doesn't match: the manifest or the signature was changed.
    #[error("the signature of {name} doesn't match the manifest: one of them was changed")]
    Mismatch {
        /// The key's name in the trust file.
        name: String,
    },
    /// Fewer trusted keys have signed than the device demands.
    #[error(
        "{} of the {needed} trusted signatures that this device demands{}",
        count(.signers.len()),
        strangers(*.unknown)
    )]
    TooFew {
        /// Names of the trusted keys that have signed.
        signers: Vec<String>,
        /// How many must.
        needed: usize,
        /// How many keys signed that the device doesn't know.
        unknown: usize,
    },
    /// The manifest is signed, and means nothing.
    #[error("read the release's manifest")]
    Manifest(#[from] ManifestError),
}

fn count(signers: usize) -> String {
    match signers {
        0 => "the release has none".to_owned(),
        1 => "the release has one".to_owned(),
        more => format!("the release has {more}"),
    }
}

fn strangers(unknown: usize) -> String {
    match unknown {
        0 => String::new(),
        1 => "; one key that it doesn't know has signed".to_owned(),
        more => format!("; {more} keys that it doesn't know have signed"),
    }
}

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A release that devices install.
    Release,
    /// A disk image that people write to disks.
    Image,
    /// A delta from one release to another.
    Delta,
    /// A channel's list of releases.
    Channel,
    /// A device's report.
    Report,
}

/// The bytes that a key signs for a manifest.
#[must_use]
pub fn signed_message(purpose: Purpose, manifest: &[u8]) -> Vec<u8> {
    let domain = match purpose {
        Purpose::Release => RELEASE_DOMAIN,
        Purpose::Image => IMAGE_DOMAIN,
        Purpose::Delta => DELTA_DOMAIN,
        Purpose::Channel => CHANNEL_DOMAIN,
        Purpose::Report => REPORT_DOMAIN,
    };
    [domain, manifest].concat()
}

/// Checks who signed a manifest, and only then reads it.
///
/// # Errors
/// See [`Untrusted`]. Signatures of keys that the device doesn't know count for nothing and against nothing; one of a key
/// that it knows must hold.
pub fn verify(manifest: &[u8], signatures: &[u8], trust: &Trust) -> Result<VerifiedRelease, Untrusted> {
    let signers = signers(Purpose::Release, manifest, signatures, trust.release())?;
    Ok(VerifiedRelease {
        manifest: Manifest::parse(manifest)?,
        digest: FileDigest::of(manifest),
        signers,
    })
}

/// A disk image whose manifest enough trusted keys have signed. Nothing but [`verify_image`] makes one. The image itself is
/// still to be compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedImage {
    manifest: ImageManifest,
    signers: Vec<String>,
}

impl VerifiedImage {
    /// What the image must be.
    #[must_use]
    pub const fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// Names of the trusted keys that have signed.
    #[must_use]
    pub fn signers(&self) -> &[String] {
        &self.signers
    }
}

/// Checks who signed the manifest of a disk image, and only then reads it.
///
/// # Errors
/// As [`verify`].
pub fn verify_image(manifest: &[u8], signatures: &[u8], trust: &Trust) -> Result<VerifiedImage, Untrusted> {
    let signers = signers(Purpose::Image, manifest, signatures, trust.release())?;
    Ok(VerifiedImage {
        manifest: ImageManifest::parse(manifest)?,
        signers,
    })
}

/// A delta whose manifest enough trusted keys have signed. Nothing but [`verify_delta`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDelta {
    manifest: DeltaManifest,
}

impl VerifiedDelta {
    /// What the delta is.
    #[must_use]
    pub const fn manifest(&self) -> &DeltaManifest {
        &self.manifest
    }
}

/// Checks who signed the manifest of a delta, and only then reads it.
///
/// # Errors
/// As [`verify`].
pub fn verify_delta(manifest: &[u8], signatures: &[u8], trust: &Trust) -> Result<VerifiedDelta, Untrusted> {
    signers(Purpose::Delta, manifest, signatures, trust.release())?;
    Ok(VerifiedDelta {
        manifest: DeltaManifest::parse(manifest)?,
    })
}

/// Checks who signed a channel: names of the keys that have, enough of those that sign channels.
///
/// # Errors
/// As [`verify`].
pub fn verify_channel(channel: &SignedDocument<'_>, role: &Role) -> Result<Vec<String>, Untrusted> {
    signers(Purpose::Channel, channel.document, channel.signatures, role)
}

/// Names of the trusted keys that have signed `manifest`: enough of them.
fn signers(
    purpose: Purpose,
    manifest: &[u8],
    signatures: &[u8],
    trust: &Role,
) -> Result<Vec<String>, Untrusted> {
    let signatures = Signatures::parse(signatures)?;
    let message = signed_message(purpose, manifest);
    let mut signers = Vec::new();
    let mut unknown = signatures.foreign();
    for signature in signatures.iter() {
        match trusted_name(trust, &signature.key) {
            None => unknown += 1,
            Some(name) if signature.key.has_signed(&message, &signature.bytes) => signers.push(name),
            Some(name) => return Err(Untrusted::Mismatch { name }),
        }
    }
    let needed = trust.threshold();
    if signers.len() < needed {
        return Err(Untrusted::TooFew {
            signers,
            needed,
            unknown,
        });
    }
    Ok(signers)
}

fn trusted_name(trust: &Role, key: &PublicKey) -> Option<String> {
    trust.name_of(key).map(str::to_owned)
}

impl VerifiedRelease {
    /// What the release is.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Digest of the manifest's bytes: what the boot record calls the release.
    #[must_use]
    pub const fn digest(&self) -> FileDigest {
        self.digest
    }

    /// Names of the trusted keys that have signed.
    #[must_use]
    pub fn signers(&self) -> &[String] {
        &self.signers
    }
}

#[cfg(test)]
mod tests;
