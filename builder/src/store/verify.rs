//! Looks whether the disk still holds what was stored.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    StoreError, TreeStore,
    checksum::Checksum,
    lock::StoreLock,
    objects::{self, Objects},
    repository, variant,
};
use crate::progress::{Phase, Progress, Unit};
use crate::sha256::Sha256;

/// What [`TreeStore::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Objects that are what their names say.
    pub objects: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Objects that aren't.
    pub damaged: Vec<PathBuf>,
}

impl Verified {
    fn and(mut self, mut other: Self) -> Self {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.damaged.append(&mut other.damaged);
        self
    }
}

impl TreeStore {
    /// Reads every object and compares it with its checksum. A store with damaged objects is of no use: see
    /// [`discard`].
    ///
    /// # Errors
    /// When a folder can't be listed, or the user asks to stop. An object that can't be read counts as damaged.
    pub fn verify(&self, progress: &dyn Progress) -> Result<Verified, StoreError> {
        let folders = self.objects.folders().map_err(|source| StoreError::Open {
            path: self.path.clone(),
            source,
        })?;
        let phase = progress.phase("verify the tree store", Some(folders.len() as u64), Unit::Items);
        let verified = folders
            .par_iter()
            .map(|folder| verify_folder(folder, phase.as_ref()))
            .try_reduce(Verified::default, |one, other| Ok(one.and(other)))?;
        let mut damaged = verified.damaged;
        damaged.sort();
        Ok(Verified { damaged, ..verified })
    }
}

fn verify_folder(folder: &Path, phase: &dyn Phase) -> Result<Verified, StoreError> {
    let open = |source| StoreError::Open {
        path: folder.to_owned(),
        source,
    };
    let mut verified = Verified::default();
    for entry in fs::read_dir(folder).map_err(open)? {
        phase.checkpoint()?;
        let path = entry.map_err(open)?.path();
        match verify_object(&path) {
            Ok(Some(bytes)) => {
                verified.objects += 1;
                verified.bytes += bytes;
            }
            Ok(None) | Err(_) => verified.damaged.push(path),
        }
    }
    phase.advance(1);
    Ok(verified)
}

/// The object's length; none when it isn't what its name says.
fn verify_object(path: &Path) -> io::Result<Option<u64>> {
    let name = Objects::checksum_of(path);
    let hash = if path.extension().is_some_and(|kind| kind == "file") {
        match objects::metadata_of(path)? {
            Some((metadata, variant::REGULAR)) => variant::hash_of_header(&metadata, variant::REGULAR, ""),
            Some((metadata, variant::SYMLINK)) => {
                let target = fs::read(path)?;
                let target =
                    String::from_utf8_lossy(target.strip_suffix(b"\0").unwrap_or(&target)).into_owned();
                let hash = variant::hash_of_header(&metadata, variant::SYMLINK, &target);
                return Ok((name == Some(Checksum::finish(hash))).then_some(target.len() as u64));
            }
            _ => return Ok(None),
        }
    } else {
        Sha256::new()
    };
    let (hash, bytes) = hash_rest(hash, File::open(path)?)?;
    Ok((name == Some(Checksum::finish(hash))).then_some(bytes))
}

fn hash_rest(mut hash: Sha256, mut file: File) -> io::Result<(Sha256, u64)> {
    let mut piece = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((hash, bytes)),
            Ok(read) => {
                hash.update(piece.get(..read).unwrap_or_default());
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes the store as a whole: it is a cache. One that doesn't exist stays so.
///
/// # Errors
/// [`StoreError::Busy`] when another process has it open; else when it can't be removed.
pub fn discard(store: &Path) -> Result<(), StoreError> {
    let open = |source| StoreError::Open {
        path: store.to_owned(),
        source,
    };
    let alone = StoreLock::try_alone(store).map_err(open)?;
    let busy = || StoreError::Busy {
        path: store.to_owned(),
    };
    let _alone = alone.ok_or_else(busy)?;
    repository::discard(store).map_err(open)
}
