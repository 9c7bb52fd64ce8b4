//! The tree store: an OSTree repository with one commit per package and per image.
//!
//! | reference | tree | commit metadata |
//! |---|---|---|
//! | `deb/<sha256 of the .deb>` | `control/`: the control member; `data/`: the package's files | hard links |
//! | `image/<name>/<architecture>` | the root file system | hard links, [`ImageRecord`], addresses in the image |
//! | `derived/<key>` | what a step made of packages, remembered for the next build | hard links |
//!
//! The store is a cache: everything in it can be made again. It may be used by several builds at once, and a killed
//! process leaves it usable: objects appear whole (`rename`), a reference is written after what it names, and
//! `<store>.lock` keeps whoever removes objects away from those who use them. For power cuts see [`unsynced`]. There
//! are no libostree transactions: theirs sync the file system at each commit, and rename every object twice.

mod checksum;
mod commits;
mod derived;
mod error;
mod folders;
mod image;
mod import;
mod lock;
mod objects;
mod package;
mod prune;
mod repository;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unsynced;
mod variant;
mod verify;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

pub use error::StoreError;
pub use image::{ImageCommit, ImageRecord, RecordedPackage, StoredImage};
pub use import::PackageFile;
pub use package::PackageTree;
pub use prune::{Keep, Pruned, prune};
pub use verify::{Verified, discard};

use self::{commits::Commits, lock::StoreLock, objects::Objects, unsynced::Unsynced};
use crate::progress::{Progress, Silent};

/// The open store. Objects that its trees refer to stay while it is open.
///
/// Dropping it waits until everything is on the disk.
pub struct TreeStore {
    path: PathBuf,
    boot: String,
    durable: bool,
    objects: Objects,
    /// Of this process, from its first write on.
    marker: Mutex<Option<Unsynced>>,
    /// Of processes that are gone.
    adopted: Mutex<Vec<Unsynced>>,
    flushing: Mutex<Vec<JoinHandle<io::Result<()>>>>,
    _lock: StoreLock,
}

impl TreeStore {
    /// Opens the store in the folder `path`, and makes it on first use. Waits while somebody removes things from it, and
    /// says so.
    ///
    /// # Errors
    /// When the folder can't be made or written, its file system lacks user extended attributes, or the user asks to stop
    /// waiting.
    pub fn open(path: &Path, progress: &dyn Progress) -> Result<Self, StoreError> {
        Self::open_with(path, true, progress)
    }

    /// Like [`TreeStore::open`], but never waits for the disk: after a power cut the store may be damaged unnoticed.
    /// For tests and other stores that don't outlive the process.
    ///
    /// # Errors
    /// As [`TreeStore::open`].
    pub fn open_volatile(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, false, &Silent)
    }

    fn open_with(path: &Path, durable: bool, progress: &dyn Progress) -> Result<Self, StoreError> {
        let fail = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let path = std::path::absolute(path).map_err(fail)?;
        let boot = unsynced::boot_id().map_err(fail)?;
        let lock = repository::prepare(&path, &boot, progress)?;
        let adopted = Unsynced::adopt(&path, &boot).map_err(fail)?;
        Ok(Self {
            objects: Objects::new(&path),
            marker: Mutex::default(),
            adopted: Mutex::new(adopted),
            flushing: Mutex::default(),
            _lock: lock,
            durable,
            boot,
            path,
        })
    }

    /// The repository's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn commits(&self) -> Result<Commits, StoreError> {
        Commits::open(&self.path)
    }

    /// Call it before anything is written: see [`unsynced`].
    fn begin_writing(&self) -> Result<(), StoreError> {
        let mut marker = lock(&self.marker);
        if self.durable && marker.is_none() {
            let begun = Unsynced::begin(&self.path, &self.boot);
            *marker = Some(begun.map_err(|source| StoreError::Write {
                path: self.path.clone(),
                source,
            })?);
        }
        Ok(())
    }

    /// Call it after much was written and when little is left to write: the disk catches up beside what comes next. Whoever
    /// makes or writes files meanwhile waits for the file system's journal: 0.7 s of a cold build when this came before the kernel modules
    /// are unpacked, up to 2 s when it came before the image is written.
    pub fn flush_beside(&self) {
        if self.durable && lock(&self.marker).is_some() {
            lock(&self.flushing).push(unsynced::flush_beside(&self.path));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for TreeStore {
    /// On failure markers stay, and the next process syncs.
    fn drop(&mut self) {
        for thread in lock(&self.flushing).drain(..) {
            let _ = thread.join();
        }
        if !self.durable {
            return;
        }
        let mut markers: Vec<Unsynced> = lock(&self.marker).take().into_iter().collect();
        markers.append(&mut lock(&self.adopted));
        let _ = unsynced::settle(&self.path, markers);
    }
}

impl fmt::Debug for TreeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeStore").field("path", &self.path).finish()
    }
}
