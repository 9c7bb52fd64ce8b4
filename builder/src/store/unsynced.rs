//! Objects that may not have reached the disk yet.
//!
//! Waiting for the disk at each import (libostree calls `syncfs`) costs 1.0 to 1.5 s of a cold build for a store that
//! is only a cache. Instead a marker, itself synced, lies in `unsynced/` before a process writes its first object; a
//! thread calls `syncfs` beside the rest of the build, and the marker goes when all is on the disk. Its name has the
//! kernel's boot id. A marker of *another* boot means that the machine stopped before the disk had everything: objects may be cut
//! short, so the whole store is discarded. A marker of this boot is harmless, because every process sees the page
//! cache; when its owner is gone, the next one who opens the store takes it over.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, JoinHandle},
};

const FOLDER: &str = "unsynced";
/// A marker that isn't locked by its owner yet.
const UNFINISHED: &str = ".new-";

/// A marker that this process holds. Dropped without [`settle`], it stays for the next process.
#[derive(Debug)]
pub(super) struct Unsynced {
    path: PathBuf,
    /// Locked: the owner lives.
    _file: File,
}

/// The kernel's identifier of this boot.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Whether a process of another boot left a marker.
pub(super) fn cut_short(store: &Path, boot: &str) -> io::Result<bool> {
    Ok(markers(store)?.iter().any(|name| !is_of(name, boot)))
}

fn is_of(name: &str, boot: &str) -> bool {
    name.strip_prefix(boot).is_some_and(|rest| rest.starts_with('.'))
}

fn markers(store: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(store.join(FOLDER))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with(UNFINISHED) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Makes the folder for markers in a new store, and a marker without owner: the store itself isn't on the disk yet.
pub(super) fn prepare(store: &Path, boot: &str) -> io::Result<()> {
    let folder = store.join(FOLDER);
    fs::create_dir(&folder)?;
    fs::write(folder.join(format!("{boot}.new")), b"")
}

impl Unsynced {
    /// Call it before the first object is written; returns once the marker is on the disk.
    pub(super) fn begin(store: &Path, boot: &str) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = store.join(FOLDER);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{boot}.{}.{number}", std::process::id());
            let unfinished = folder.join(format!("{UNFINISHED}{name}"));
            let path = folder.join(name);
            if path.try_exists()? {
                continue; // of a process with the same id: in another PID namespace, or dead
            }
            let file = match File::create_new(&unfinished) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            file.lock()?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&folder)?.sync_all()?;
            return Ok(Self { path, _file: file });
        }
    }

    /// Takes over the markers of this boot whose owners are gone.
    pub(super) fn adopt(store: &Path, boot: &str) -> io::Result<Vec<Self>> {
        let mut adopted = Vec::new();
        for name in markers(store)?.iter().filter(|name| is_of(name, boot)) {
            let path = store.join(FOLDER).join(name);
            match File::open(&path) {
                Ok(file) if file.try_lock().is_ok() => adopted.push(Self { path, _file: file }),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {} // its owner lives, or has just removed it
            }
        }
        Ok(adopted)
    }
}

/// Lets the disk catch up on a thread of its own.
pub(super) fn flush_beside(store: &Path) -> JoinHandle<io::Result<()>> {
    let store = store.to_owned();
    thread::spawn(move || Ok(rustix::fs::syncfs(File::open(store)?)?))
}

/// Waits until everything is on the disk, then removes the markers. After a failure they stay.
pub(super) fn settle(store: &Path, markers: Vec<Unsynced>) -> io::Result<()> {
    if markers.is_empty() {
        return Ok(());
    }
    rustix::fs::syncfs(File::open(store)?)?;
    markers
        .into_iter()
        .try_for_each(|marker| fs::remove_file(&marker.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), "boot").unwrap();
        settle(folder.path(), Unsynced::adopt(folder.path(), "boot").unwrap()).unwrap();
        folder
    }

    #[test]
    fn a_marker_of_another_boot_means_that_objects_may_be_cut_short() {
        let store = store();
        let marker = Unsynced::begin(store.path(), "boot-1").unwrap();
        assert!(!cut_short(store.path(), "boot-1").unwrap());
        assert!(cut_short(store.path(), "boot-2").unwrap());
        assert!(cut_short(store.path(), "boot").unwrap()); // a mere prefix is another boot
        settle(store.path(), vec![marker]).unwrap();
        assert!(!cut_short(store.path(), "boot-2").unwrap());
    }

    #[test]
    fn a_marker_is_taken_over_only_when_its_owner_is_gone() {
        let store = store();
        let marker = Unsynced::begin(store.path(), "boot").unwrap();
        assert!(Unsynced::adopt(store.path(), "boot").unwrap().is_empty());
        drop(marker);
        assert_eq!(Unsynced::adopt(store.path(), "boot").unwrap().len(), 1);
    }
}
