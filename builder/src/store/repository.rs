//! The repository's folder: made whole or not at all, discarded when it can't be trusted.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ostree::{Repo, RepoMode, gio::Cancellable};

use super::{StoreError, lock::StoreLock, objects::Objects, unsynced};
use crate::progress::Progress;

/// Version of what Outcrop keeps in the repository: raised when an older store's content is of no use.
const FORMAT: &str = "outcrop store 1\n";
const FORMAT_FILE: &str = "outcrop-format";
/// `bare-user` keeps owner, mode and attributes without root. Syncing is [`unsynced`]'s business, and free space the
/// user's: libostree would refuse to write into the last 3 % of a disk.
const CONFIG: &str = "[core]\nrepo_version=1\nmode=bare-user\nfsync=false\nmin-free-space-percent=0\n";

/// Opens the store's lock, and makes the repository when it doesn't exist, has another format, or was cut short.
pub(super) fn prepare(store: &Path, boot: &str, progress: &dyn Progress) -> Result<StoreLock, StoreError> {
    loop {
        let fail = |source| open_error(store, source);
        let lock = match StoreLock::try_alone(store).map_err(fail)? {
            Some(alone) => {
                make_usable(store, boot)?;
                alone.share(progress).map_err(fail)?
            }
            None => StoreLock::shared(store, progress).map_err(fail)?,
        };
        if is_usable(store, boot).map_err(fail)? {
            return Ok(lock);
        }
        drop(lock); // another process has it open, or had it alone in between
        let alone = StoreLock::alone(store, progress).map_err(fail)?;
        make_usable(store, boot)?;
        drop(alone);
    }
}

fn is_usable(store: &Path, boot: &str) -> io::Result<bool> {
    match fs::read_to_string(store.join(FORMAT_FILE)) {
        Ok(format) => Ok(format == FORMAT && !unsynced::cut_short(store, boot)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The caller has the store alone.
pub(super) fn make_usable(store: &Path, boot: &str) -> Result<(), StoreError> {
    if is_usable(store, boot).map_err(|source| open_error(store, source))? {
        let objects = Objects::new(store);
        return objects
            .remove_leftovers()
            .map_err(|source| open_error(store, source));
    }
    discard(store).map_err(|source| open_error(store, source))?;
    create(store, boot)
}

/// Removes the store. It loses its name first, so that half of it is never taken for the whole.
pub(super) fn discard(store: &Path) -> io::Result<()> {
    let old = beside(store, ".old");
    remove_folder(&old)?;
    match fs::rename(store, &old) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => remove_folder(&old),
    }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The first thing in a new store is a marker of [`unsynced`], so nothing here waits for the disk.
fn create(store: &Path, boot: &str) -> Result<(), StoreError> {
    let new = beside(store, ".new");
    let fail = |source| open_error(store, source);
    remove_folder(&new)
        .and_then(|()| fs::create_dir_all(&new))
        .and_then(|()| unsynced::prepare(&new, boot))
        .and_then(|()| fs::write(new.join("config"), CONFIG))
        .map_err(fail)?;
    let created = Repo::new_for_path(&new).create(RepoMode::BareUser, Cancellable::NONE);
    created.map_err(|source| StoreError::Repository {
        path: store.to_owned(),
        source,
    })?;
    fs::write(new.join(FORMAT_FILE), FORMAT)
        .and_then(|()| fs::rename(&new, store))
        .map_err(fail)
}

fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn open_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Open {
        path: path.to_owned(),
        source,
    }
}
