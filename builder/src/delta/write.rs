//! The file of a delta, beside a bundle or in it.

use std::{
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use outcrop_release::{
    bundle::{ARCHIVE_BLOCK_BYTES, MemberName},
    delta::{self, DIRECTORY_BYTES},
    digest::RootHash,
    trust::{Purpose, Signatures},
};

use super::{Delta, DeltaError};
use crate::{
    bundle::{Archive, Bundle, BundleError, Sequential, copy_member},
    error::Error,
    keys::PrivateKey,
    output::PendingFile,
    read_at::{ReadAt as _, Window},
};

/// The signatures of all `keys` over a delta's manifest.
pub(super) fn sign(manifest: &[u8], keys: &[PrivateKey]) -> Result<Vec<u8>, Error> {
    let mut signatures = Signatures::default();
    for key in keys {
        let signature = key.sign(Purpose::Delta, manifest).map_err(BundleError::from)?;
        signatures.add(signature).map_err(BundleError::from)?;
    }
    Ok(signatures.to_bytes())
}

impl Delta {
    fn starts_from(&self) -> Option<RootHash> {
        self.manifest.from.as_ref().map(|old| old.root.root_hash)
    }

    /// Writes the archive; its length.
    fn write(&self, out: &mut dyn Write) -> io::Result<u64> {
        let mut archive = Archive::new(out);
        archive.member(MemberName::Delta, &self.manifest.to_bytes())?;
        archive.member(MemberName::Signatures, &self.signatures)?;
        archive.member(MemberName::Index, &self.index)?;
        let mut data: Box<dyn io::Read + '_> = Box::new(io::empty());
        for frame in &self.data {
            data = Box::new(data.chain(frame.as_slice()));
        }
        archive.copy(MemberName::Data, &mut data, self.manifest.data.bytes)?;
        Ok(archive.finish()?.0)
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }
}

/// Writes a delta beside the bundle `bundle`, under the name that devices look for; its path and length.
///
/// # Errors
/// When it can't be written.
pub fn write_beside(delta: &Delta, bundle: &Path) -> Result<(PathBuf, u64), Error> {
    let name = bundle
        .to_str()
        .and_then(|name| delta::file_name(name, delta.starts_from().as_ref()));
    let path = PathBuf::from(name.ok_or_else(|| DeltaError::Name(bundle.to_owned()))?);
    let failed = |source| DeltaError::Io {
        doing: "write the delta",
        path: path.clone(),
        source,
    };
    let pending = PendingFile::create(&path).map_err(failed)?;
    let bytes = delta
        .write(&mut io::BufWriter::new(pending.file()))
        .map_err(failed)?;
    pending.publish().map_err(failed)?;
    Ok((path, bytes))
}

/// Writes the bundle again with the delta in it, in place of one from the same release.
///
/// # Errors
/// When the bundle holds too many, or can't be written; it then is as it was.
pub fn add_to_bundle(delta: &Delta, bundle: &Bundle) -> Result<u64, Error> {
    let failed = |source| DeltaError::Io {
        doing: "write the bundle with its deltas",
        path: bundle.path().to_owned(),
        source,
    };
    let mine = delta.starts_from();
    let mut deltas: Vec<(Option<RootHash>, Kept)> = bundle
        .deltas()?
        .into_iter()
        .filter(|(from, _)| *from != mine)
        .map(|(from, window)| (from, Kept::There(window)))
        .collect();
    deltas.push((mine, Kept::New(delta.bytes().map_err(failed)?)));
    let lengths: Vec<(Option<RootHash>, u64)> =
        deltas.iter().map(|(from, kept)| (*from, kept.len())).collect();
    let directory = delta::directory(&lengths).map_err(|source| DeltaError::Directory {
        path: bundle.path().to_owned(),
        source,
    })?;
    let pending = PendingFile::create(bundle.path()).map_err(failed)?;
    let mut archive = Archive::new(pending.file());
    for name in MemberName::ALL {
        copy_member(bundle, name, &mut archive)?;
    }
    let padded = |len: &u64| len.next_multiple_of(ARCHIVE_BLOCK_BYTES as u64);
    let total = DIRECTORY_BYTES as u64 + lengths.iter().map(|(_, len)| padded(len)).sum::<u64>();
    let mut content: Box<dyn io::Read + '_> = Box::new(directory.as_slice());
    for (_, kept) in &deltas {
        let padding = padded(&kept.len()) - kept.len();
        content = Box::new(content.chain(kept.read()).chain(io::repeat(0).take(padding)));
    }
    archive
        .copy(MemberName::Deltas, &mut content, total)
        .map_err(failed)?;
    let (bytes, _) = archive.finish().map_err(failed)?;
    pending.publish().map_err(failed)?;
    Ok(bytes)
}

/// A delta's bytes.
enum Kept {
    There(Window<std::sync::Arc<crate::read_at::FileSource>>),
    New(Vec<u8>),
}

impl Kept {
    fn len(&self) -> u64 {
        match self {
            Self::There(window) => window.len(),
            Self::New(bytes) => bytes.len() as u64,
        }
    }

    fn read(&self) -> Box<dyn io::Read + '_> {
        match self {
            Self::There(window) => Box::new(Sequential::new(window)),
            Self::New(bytes) => Box::new(bytes.as_slice()),
        }
    }
}
