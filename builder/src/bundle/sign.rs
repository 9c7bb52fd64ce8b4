//! Adds signatures to a bundle, on another machine than the build's.

use std::io;

use outcrop_release::{
    bundle::MemberName,
    trust::{MAX_SIGNATURES_BYTES, Purpose, SignatureError},
};

use super::{Bundle, BundleError, write::Archive};
use crate::{keys::PrivateKey, output::PendingFile, read_at::ReadAt};

/// Writes the bundle again with the signatures of `keys` added, and puts it in the old one's place.
///
/// # Errors
/// When a key has signed already, or the bundle can't be written; the old one then stays.
pub fn add_signatures(bundle: &Bundle, keys: &[PrivateKey]) -> Result<(), BundleError> {
    let mut signatures = bundle.signatures().clone();
    for key in keys {
        signatures
            .add(key.sign(Purpose::Release, bundle.manifest_bytes())?)
            .map_err(|error| match error {
                SignatureError::Twice(key) => BundleError::AlreadySigned {
                    key,
                    path: bundle.path().to_owned(),
                },
                other => other.into(),
            })?;
    }
    let signed = signatures.to_bytes();
    if signed.len() > MAX_SIGNATURES_BYTES {
        return Err(SignatureError::TooLong(signed.len()).into());
    }
    let failed = |source: io::Error| BundleError::Io {
        doing: "write the signed bundle",
        path: bundle.path().to_owned(),
        source,
    };
    let pending = PendingFile::create(bundle.path()).map_err(failed)?;
    let mut archive = Archive::new(pending.file());
    for name in bundle.members() {
        if name == MemberName::Signatures {
            archive.member(name, &signed).map_err(failed)?;
        } else {
            copy_member(bundle, name, &mut archive)?;
        }
    }
    archive.finish().map_err(failed)?;
    pending.publish().map_err(failed)
}

/// Copies a member of a bundle to another one.
pub(crate) fn copy_member(
    bundle: &Bundle,
    name: MemberName,
    archive: &mut Archive<impl io::Write>,
) -> Result<(), BundleError> {
    let member = bundle.member(name)?;
    let copied = archive.copy(name, &mut Sequential::new(&member), member.len());
    copied.map_err(|source| BundleError::Io {
        doing: "write the bundle again:",
        path: bundle.path().to_owned(),
        source,
    })
}

/// Reads a source from its beginning.
pub(crate) struct Sequential<'a> {
    source: &'a dyn ReadAt,
    at: u64,
}

impl<'a> Sequential<'a> {
    pub(crate) const fn new(source: &'a dyn ReadAt) -> Self {
        Self { source, at: 0 }
    }
}

impl io::Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.source.len() - self.at).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let (now, _) = buffer.split_at_mut(count);
        self.source.read_exact_at(now, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
