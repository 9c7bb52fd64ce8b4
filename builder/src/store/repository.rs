//! The repository's folder: made whole or not at all, discarded when it can't be trusted.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ostree::{Repo, RepoMode, gio::Cancellable, glib};

use super::{StoreError, lock::StoreLock, objects::Objects, unsynced};

/// Version of what Outcrop keeps in the repository: raised when an older store's content is of no use.
const FORMAT: &str = "outcrop store 1\n";
const FORMAT_FILE: &str = "outcrop-format";

/// Opens the store's lock, and makes the repository when it doesn't exist, has another format, or was cut short.
pub(super) fn prepare(store: &Path, boot: &str) -> Result<StoreLock, StoreError> {
    loop {
        let fail = |source| open_error(store, source);
        let lock = match StoreLock::try_alone(store).map_err(fail)? {
            Some(alone) => {
                make_usable(store, boot)?;
                alone.share().map_err(fail)?
            }
            None => StoreLock::shared(store).map_err(fail)?,
        };
        if is_usable(store, boot).map_err(fail)? {
            return Ok(lock);
        }
        drop(lock); // another process has it open, or had it alone in between
        let alone = StoreLock::alone(store).map_err(fail)?;
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
    create(store)
}

/// Removes the store. It loses its name first, so that half of it is never taken for the whole.
fn discard(store: &Path) -> io::Result<()> {
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

fn create(store: &Path) -> Result<(), StoreError> {
    let new = beside(store, ".new");
    let fail = |source| open_error(store, source);
    remove_folder(&new)
        .and_then(|()| fs::create_dir_all(&new))
        .map_err(fail)?;
    create_repository(&new).map_err(|source| StoreError::Repository {
        path: store.to_owned(),
        source,
    })?;
    Objects::new(&new)
        .make_folders()
        .and_then(|()| unsynced::prepare(&new))
        .and_then(|()| crate::output::replace_file(&new.join(FORMAT_FILE), FORMAT.as_bytes()))
        .and_then(|()| fs::rename(&new, store))
        .map_err(fail)
}

/// `bare-user` keeps owner, mode and attributes without root. Syncing is [`unsynced`]'s business, and free space the
/// user's: libostree would refuse to write into the last 3 % of a disk.
fn create_repository(folder: &Path) -> Result<(), glib::Error> {
    let repo = Repo::new_for_path(folder);
    repo.create(RepoMode::BareUser, Cancellable::NONE)?;
    let config = repo.copy_config();
    config.set_boolean("core", "fsync", false);
    config.set_string("core", "min-free-space-percent", "0");
    repo.write_config(&config)
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
