//! What of a build's folder is published.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use outcrop_release::{
    channel::{Channel, LabelSelector, Publication, Waves},
    delta::{DeltaHead, DeltaManifest},
    digest::FileDigest,
    trust::{PublicKey, Trust},
};
use semver::Version;

use super::{PublishError, failed};
use crate::{
    bundle::{Bundle, BundleError},
    error::Error,
    progress::Progress,
    read_at::{FileSource, ReadAt as _},
};

/// A release that is published.
#[derive(Debug)]
pub struct Selected {
    /// Its bundle.
    pub bundle: Bundle,
    /// Deltas beside it.
    pub deltas: Vec<PathBuf>,
}

impl Selected {
    /// What a channel says of it.
    #[must_use]
    pub fn publication(&self, waves: &Waves, hold_back: &[LabelSelector]) -> Publication {
        let manifest = self.bundle.manifest();
        Publication {
            release: manifest.release.clone(),
            manifest: FileDigest::of(self.bundle.manifest_bytes()),
            bytes: self.bundle.bytes(),
            rollback_index: manifest.rollback_index,
            waves: waves.clone(),
            hold_back: hold_back.to_vec(),
        }
    }

    /// Checks all bytes and who has signed.
    ///
    /// # Errors
    /// When it is damaged, nobody has signed it, the devices' trust file doesn't trust it, or a channel's key has signed it.
    pub fn check(
        &self,
        trust: Option<&Trust>,
        channel_keys: &[PublicKey],
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let bundle = &self.bundle;
        if let Some(trust) = trust {
            bundle.verify(trust)?;
        }
        if bundle.signatures().iter().next().is_none() {
            return Err(PublishError::Unsigned(bundle.path().to_owned()).into());
        }
        let mut signers = bundle.signatures().iter().map(|signature| signature.key);
        if let Some(key) = signers.find(|key| channel_keys.contains(key)) {
            return Err(PublishError::BothRoles {
                key,
                release: Box::new(bundle.manifest().release.clone()),
            }
            .into());
        }
        bundle.check(progress)?;
        Ok(())
    }
}

/// The bundles in `folder` that `channel` doesn't offer yet, with their deltas: of those from `from`'s versions only, if there are any. One that
/// was withdrawn is left out, and told.
///
/// # Errors
/// When there is none, one has another name than its release, or a delta that was asked for is missing.
pub fn select(
    folder: &Path,
    channel: Option<&Channel>,
    from: &[Version],
    progress: &dyn Progress,
) -> Result<Vec<Selected>, Error> {
    let files = files(folder).map_err(failed("list", folder))?;
    let is_bundle = |path: &&PathBuf| path.extension() == Some(OsStr::new("outcrop"));
    let bundles: Vec<Bundle> = files
        .iter()
        .filter(is_bundle)
        .map(|path| Bundle::open(path))
        .collect::<Result<_, _>>()?;
    if bundles.is_empty() {
        return Err(PublishError::Empty(folder.to_owned()).into());
    }
    let is_new = |bundle: &Bundle| {
        let digest = FileDigest::of(bundle.manifest_bytes());
        let Some(channel) = channel else { return true };
        let withdrawn = channel
            .withdrawn
            .iter()
            .find(|withdrawn| withdrawn.manifest == digest);
        if let Some(withdrawn) = withdrawn {
            progress.note(&format!(
                "{} was withdrawn and isn't offered again: {}",
                withdrawn.release, withdrawn.reason
            ));
        }
        withdrawn.is_none() && channel.offers.iter().all(|offer| offer.manifest != digest)
    };
    let mut selected = Vec::new();
    for bundle in bundles.into_iter().filter(is_new) {
        let name = &bundle.manifest().release;
        if bundle.path().file_stem() != Some(OsStr::new(&name.to_string())) {
            return Err(PublishError::Name {
                path: bundle.path().to_owned(),
                name: Box::new(name.clone()),
            }
            .into());
        }
        let deltas = deltas(&bundle, &files, from)?;
        selected.push(Selected { bundle, deltas });
    }
    match (selected.is_empty(), channel) {
        (true, Some(channel)) => Err(PublishError::Nothing(channel.name.clone()).into()),
        _ => Ok(selected),
    }
}

pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The deltas that lie beside a bundle and lead to it, with the versions that they start from.
pub(super) fn deltas_beside(
    bundle: &Bundle,
    files: &[PathBuf],
) -> Result<Vec<(PathBuf, Option<Version>)>, BundleError> {
    let stem = bundle
        .path()
        .file_stem()
        .and_then(OsStr::to_str)
        .unwrap_or_default();
    let is_beside = |path: &&PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let rest = name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_suffix(".delta"));
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let mut found = Vec::new();
    for path in files.iter().filter(is_beside) {
        let manifest = manifest_of(path)?;
        // One of an earlier try leads to a bundle that is no longer there.
        if manifest.manifest == FileDigest::of(bundle.manifest_bytes()) {
            found.push((path.clone(), manifest.from.map(|old| old.version)));
        }
    }
    Ok(found)
}

/// Those of them that start from one of the versions; all, where none is named.
fn deltas(bundle: &Bundle, files: &[PathBuf], from: &[Version]) -> Result<Vec<PathBuf>, Error> {
    let (mut found, mut versions) = (Vec::new(), Vec::new());
    for (path, old) in deltas_beside(bundle, files)? {
        if from.is_empty() || old.as_ref().is_some_and(|old| from.contains(old)) {
            found.push(path);
            versions.extend(old);
        }
    }
    match from.iter().find(|wanted| !versions.contains(wanted)) {
        Some(missing) => Err(PublishError::NoDelta {
            release: Box::new(bundle.manifest().release.clone()),
            from: missing.clone(),
        }
        .into()),
        None => Ok(found),
    }
}

fn manifest_of(path: &Path) -> Result<DeltaManifest, BundleError> {
    let failed = |source| BundleError::Io {
        doing: "read the delta",
        path: path.to_owned(),
        source,
    };
    let source = File::open(path).and_then(FileSource::new).map_err(failed)?;
    let head = DeltaHead::read(0, |range| {
        let len = usize::try_from(range.bytes()).unwrap_or(usize::MAX);
        source.read_vec(range.start, len).map_err(failed)
    })?;
    Ok(DeltaManifest::parse(&head.manifest)?)
}
