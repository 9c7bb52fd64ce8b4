//! What the cache costs.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;

use super::Cache;
use crate::fetch::Shelf;

/// Files and what they take on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Part {
    /// How many.
    pub files: u64,
    /// Bytes of disk space: whole blocks, a file with several names once.
    pub bytes: u64,
}

impl Part {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// What each part of the cache costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    /// Whole packages.
    pub packages: Part,
    /// Downloads that are under way or were interrupted.
    pub partial: Part,
    /// The tree store.
    pub store: Part,
    /// apt's lists.
    pub apt: Part,
    /// Records of finished builds.
    pub builds: Part,
}

impl Usage {
    /// All parts together.
    #[must_use]
    pub const fn total(&self) -> Part {
        let packages = self.packages.plus(self.partial);
        packages.plus(self.store).plus(self.apt).plus(self.builds)
    }
}

/// Measures the cache. A part that doesn't exist costs nothing, and so does what vanishes meanwhile.
///
/// # Errors
/// When a folder can't be read.
pub fn measure(cache: &Cache) -> io::Result<Usage> {
    let shelf = Shelf::of(cache);
    Ok(Usage {
        packages: sum(&files_below(shelf.folder(), &shelf.partial_folder())?),
        partial: sum(&files_in(&shelf.partial_folder())?),
        store: sum(&files_in(&cache.store())?),
        apt: sum(&files_in(&cache.apt())?),
        builds: sum(&files_in(&cache.builds())?),
    })
}

/// A file of the cache.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Device and inode.
    inode: (u64, u64),
    bytes: u64,
    /// When it was made or last used.
    pub(super) used: SystemTime,
}

impl Found {
    pub(super) const fn part(&self) -> Part {
        Part {
            files: 1,
            bytes: self.bytes,
        }
    }
}

fn sum(files: &[Found]) -> Part {
    let mut counted = HashSet::new();
    let once = files.iter().filter(|file| counted.insert(file.inode));
    once.fold(Part::default(), |sum, file| sum.plus(file.part()))
}

/// All files in `folder` and below; symbolic links are counted, not followed.
pub(super) fn files_in(folder: &Path) -> io::Result<Vec<Found>> {
    files_below(folder, Path::new(""))
}

/// The same, without what is in `except`.
pub(super) fn files_below(folder: &Path, except: &Path) -> io::Result<Vec<Found>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let metadata = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if !metadata.is_dir() {
                files.push(found(path, &metadata)?);
            } else if path != except {
                folders.push(path);
            }
        }
    }
    Ok(files)
}

fn found(path: PathBuf, metadata: &fs::Metadata) -> io::Result<Found> {
    Ok(Found {
        path,
        inode: (metadata.dev(), metadata.ino()),
        bytes: metadata.blocks() * 512, // stat(2): st_blocks counts 512-byte units
        used: metadata.modified()?,
    })
}
