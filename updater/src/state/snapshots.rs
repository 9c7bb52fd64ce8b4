//! Copies of the state as it was: `/var/lib/outcrop/state/NUMBER/`, with `snapshot.json` and one entry a path, named by its place in the
//! list.
//!
//! A snapshot is complete once it has its name. One is brought back by renaming, which takes no room and no time: what it replaces
//! becomes a snapshot itself.

mod about;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use outcrop_release::state::StatePath;
use rustix::fs::{StatVfs, statvfs};

use about::FORMAT;
pub use about::{About, Kept, Kind, Label, SnapshotId};

use super::copy::{self, CopyError, Size};
use crate::durable::{self, DurableError};

/// Name of the file that says what a snapshot is.
const ABOUT: &str = "snapshot.json";
/// What must be left on the data partition after a snapshot, in bytes: Kubernetes and the journal write on.
const RESERVE_BYTES: u64 = 32 << 20;
/// Ending of a snapshot that is being taken or removed.
const PART: &str = "part";

/// A snapshot can't be taken, brought back or removed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A copy failed.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A file can't be kept.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// A step in the snapshots' folder.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The data partition is too full.
    #[error(
        "the data partition has too little room for a copy of the state: {} MiB are needed, {} are free; free some, or remove old snapshots with `outcrop-updater state remove`",
        needed >> 20, free >> 20
    )]
    NoRoom {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The file system can hold no more files.
    #[error("the data partition can hold {free} more files, and a copy of the state has {needed}")]
    NoInodes {
        /// Files that are needed.
        needed: u64,
        /// Files that can be made.
        free: u64,
    },
    /// There is none with this number, or not all of it.
    #[error("snapshot {0} isn't there, or not whole")]
    Missing(SnapshotId),
    /// It is damaged.
    #[error("understand what snapshot {id} is")]
    About {
        /// Which.
        id: SnapshotId,
        /// Why.
        source: serde_json::Error,
    },
    /// A newer updater took it.
    #[error("snapshot {id} has format {format}, this updater reads {FORMAT}")]
    Format {
        /// Which.
        id: SnapshotId,
        /// Its format.
        format: u32,
    },
    /// Another device took it.
    #[error("snapshot {id} was taken on another machine ({machine}): its state isn't this device's")]
    Foreign {
        /// Which.
        id: SnapshotId,
        /// That machine's id.
        machine: String,
    },
}

/// A snapshot, and what it is, where that can be understood.
pub type Listed = (SnapshotId, Result<About, SnapshotError>);

/// The snapshots of a device.
#[derive(Debug, Clone)]
pub struct Snapshots {
    folder: PathBuf,
    /// The device's root: `/` but in tests.
    root: PathBuf,
}

impl Snapshots {
    /// Those in `folder`, of state below `root`.
    #[must_use]
    pub const fn new(folder: PathBuf, root: PathBuf) -> Self {
        Self { folder, root }
    }

    /// Where a snapshot is.
    fn path(&self, id: SnapshotId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Where state is.
    fn live(&self, path: &StatePath) -> PathBuf {
        let inner = path.as_path().strip_prefix("/").unwrap_or(path.as_path());
        self.root.join(inner)
    }

    /// All numbers that are taken, by whole snapshots and by others, lowest first.
    fn numbers(&self) -> Result<Vec<SnapshotId>, SnapshotError> {
        let failed = |source| SnapshotError::File {
            doing: "list",
            path: self.folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let stem = Path::new(&name).file_stem().and_then(|stem| stem.to_str());
            numbers.extend(stem.and_then(|stem| stem.parse::<SnapshotId>().ok()));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// A number that no snapshot has or had since the last one was removed.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn free_number(&self) -> Result<SnapshotId, SnapshotError> {
        Ok(self
            .numbers()?
            .last()
            .map_or(SnapshotId::FIRST, |last| last.next()))
    }

    /// All whole snapshots, oldest first; those that can't be understood with the reason.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list(&self) -> Result<Vec<Listed>, SnapshotError> {
        let whole = self.numbers()?.into_iter().filter(|id| self.path(*id).is_dir());
        Ok(whole.map(|id| (id, self.about(id))).collect())
    }

    /// What a snapshot is.
    ///
    /// # Errors
    /// When there is none, or it can't be understood.
    pub fn about(&self, id: SnapshotId) -> Result<About, SnapshotError> {
        let bytes = durable::read(&self.path(id).join(ABOUT))?.ok_or(SnapshotError::Missing(id))?;
        let about: About =
            serde_json::from_slice(&bytes).map_err(|source| SnapshotError::About { id, source })?;
        if about.format == FORMAT {
            Ok(about)
        } else {
            Err(SnapshotError::Format {
                id,
                format: about.format,
            })
        }
    }

    /// What a snapshot of the machine with this machine-id is.
    ///
    /// # Errors
    /// [`SnapshotError::Foreign`] for another machine's; as [`Snapshots::about`].
    pub fn about_ours(&self, id: SnapshotId, machine: &str) -> Result<About, SnapshotError> {
        let about = self.about(id)?;
        if about.machine == machine {
            return Ok(about);
        }
        let machine = about.machine;
        Err(SnapshotError::Foreign { id, machine })
    }

    /// What all of `paths` take.
    ///
    /// # Errors
    /// When something can't be looked at.
    pub fn size(&self, paths: &[StatePath]) -> Result<Size, SnapshotError> {
        let mut total = Size::default();
        for path in paths {
            let size = copy::size(&self.live(path))?;
            total.bytes += size.bytes;
            total.entries += size.entries;
        }
        Ok(total)
    }

    /// Refuses when a copy of `paths` wouldn't fit.
    ///
    /// # Errors
    /// [`SnapshotError::NoRoom`], [`SnapshotError::NoInodes`], or when something can't be looked at.
    pub fn check_room(&self, paths: &[StatePath]) -> Result<Size, SnapshotError> {
        let size = self.size(paths)?;
        let failed = |errno: rustix::io::Errno| SnapshotError::File {
            doing: "look how full is",
            path: self.folder.clone(),
            source: errno.into(),
        };
        self.make_folder()?;
        let found = statvfs(&self.folder).map_err(failed)?;
        fits(size, &found)?;
        Ok(size)
    }

    fn make_folder(&self) -> Result<(), SnapshotError> {
        fs::create_dir_all(&self.folder).map_err(|source| SnapshotError::File {
            doing: "make folder",
            path: self.folder.clone(),
            source,
        })
    }

    /// Copies `paths`. When this returns, the snapshot survives a power cut; before, there is none.
    ///
    /// # Errors
    /// When there is no room, or something can't be copied.
    pub fn take(&self, label: Label, paths: &[StatePath]) -> Result<SnapshotId, SnapshotError> {
        let size = self.check_room(paths)?;
        let id = self.free_number()?;
        let part = self.path(id).with_extension(PART);
        fs::create_dir(&part).map_err(file("make folder", &part))?;
        let mut content = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            let live = self.live(path);
            let present = copy::look(&live)?.is_some();
            if present {
                copy::copy(&live, &part.join(index.to_string()))?;
            }
            content.push(Kept {
                path: path.clone(),
                present,
            });
        }
        // The content first: a folder that says what it is must hold that.
        copy::flush_all(&self.folder)?;
        write_about(&part, &label.about(content, size.bytes))?;
        let whole = self.path(id);
        durable::rename(&part, &whole)?;
        Ok(id)
    }

    /// Brings a snapshot back; what it replaces becomes the snapshot `aside`, with `label`. A call that was cut off is made again, with
    /// the same numbers. `step` is called before each change, and ends the work where it fails: power cuts in tests.
    ///
    /// # Errors
    /// When the snapshot isn't this machine's, isn't whole, or a file can't be moved.
    pub fn bring_back(
        &self,
        id: SnapshotId,
        aside: SnapshotId,
        label: Label,
        step: &mut dyn FnMut() -> io::Result<()>,
    ) -> Result<(), SnapshotError> {
        let from = self.path(id);
        let to = self.path(aside);
        let about = match self.about_ours(id, &label.machine) {
            // Cut off after the last change.
            Err(SnapshotError::Missing(_)) if self.about(aside).is_ok() => return Ok(()),
            about => about?,
        };
        // Once this was begun, a copy that isn't there has moved to its place; before, it is lost.
        if !to.exists() {
            for (index, kept) in about.content.iter().enumerate() {
                if kept.present && copy::look(&from.join(index.to_string()))?.is_none() {
                    return Err(SnapshotError::Missing(id));
                }
            }
        }
        let mut step = |path: &Path| step().map_err(file("move", path));
        step(&to)?;
        fs::create_dir_all(&to).map_err(file("make folder", &to))?;
        durable::flush_folder(&self.folder)?;
        for (index, kept) in about.content.iter().enumerate() {
            let copy = from.join(index.to_string());
            let live = self.live(&kept.path);
            let has_copy = copy::look(&copy)?.is_some();
            let is_there = copy::look(&live)?.is_some();
            if kept.present && !has_copy {
                // Moved before a power cut.
                if !is_there {
                    return Err(SnapshotError::Missing(id));
                }
                continue;
            }
            if is_there {
                step(&live)?;
                durable::rename(&live, &free_name(&to, index)?)?;
            }
            if kept.present {
                step(&live)?;
                let folder = live.parent().unwrap_or(&self.root);
                fs::create_dir_all(folder).map_err(file("make folder", folder))?;
                durable::rename(&copy, &live)?;
            }
        }
        let content = about.content.iter().enumerate().map(|(index, kept)| Kept {
            path: kept.path.clone(),
            present: to.join(index.to_string()).symlink_metadata().is_ok(),
        });
        let content: Vec<Kept> = content.collect();
        let bytes = copy::size(&to)?.bytes;
        // Folders above a path, too, where they were missing.
        copy::flush_all(&self.folder)?;
        step(&to)?;
        write_about(&to, &label.about(content, bytes))?;
        step(&from)?;
        self.remove(id)
    }

    /// Removes a snapshot, or what is left of one.
    ///
    /// # Errors
    /// When a file can't be removed.
    pub fn remove(&self, id: SnapshotId) -> Result<(), SnapshotError> {
        let (whole, part) = (self.path(id), self.path(id).with_extension(PART));
        // Its name first: what is half removed is no snapshot.
        if !part.exists() && whole.exists() {
            durable::rename(&whole, &part)?;
        }
        for left in [part, whole] {
            match fs::remove_dir_all(&left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file("remove", &left)(error));
                }
                _ => {}
            }
        }
        Ok(durable::flush_folder(&self.folder)?)
    }

    /// Removes what power cuts left unfinished, but never those in `except`. Returns the others.
    ///
    /// # Errors
    /// When a file can't be removed.
    pub fn remove_unfinished(&self, except: &[SnapshotId]) -> Result<Vec<SnapshotId>, SnapshotError> {
        let mut whole = Vec::new();
        for id in self.numbers()? {
            let unfinished = matches!(self.about(id), Err(SnapshotError::Missing(_)));
            if unfinished && !except.contains(&id) {
                self.remove(id)?;
            } else {
                whole.push(id);
            }
        }
        Ok(whole)
    }

    /// Removes what is unfinished, and all whole snapshots but the newest `keep`; never those in `except`. Returns what was removed of
    /// whole ones.
    ///
    /// # Errors
    /// When a file can't be removed.
    pub fn prune(&self, keep: u32, except: &[SnapshotId]) -> Result<Vec<SnapshotId>, SnapshotError> {
        let whole = self.remove_unfinished(except)?;
        let surplus = whole
            .len()
            .saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        let old = whole.into_iter().take(surplus).filter(|id| !except.contains(id));
        let old: Vec<SnapshotId> = old.collect();
        for id in &old {
            self.remove(*id)?;
        }
        Ok(old)
    }
}

/// Refuses what wouldn't fit on the file system `found`.
fn fits(size: Size, found: &StatVfs) -> Result<(), SnapshotError> {
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = size.bytes.saturating_add(RESERVE_BYTES);
    if free < needed {
        return Err(SnapshotError::NoRoom { needed, free });
    }
    // Some file systems have no fixed number of files and say 0 for all.
    if found.f_files > 0 && found.f_favail < size.entries {
        return Err(SnapshotError::NoInodes {
            needed: size.entries,
            free: found.f_favail,
        });
    }
    Ok(())
}

/// A name in the snapshot `folder` for what was at the path of this number: more than one after a power cut, when the system has made
/// the path anew.
fn free_name(folder: &Path, index: usize) -> Result<PathBuf, SnapshotError> {
    let mut name = folder.join(index.to_string());
    let mut more = 0;
    while copy::look(&name)?.is_some() {
        more += 1;
        name = folder.join(format!("{index}.{more}"));
    }
    Ok(name)
}

fn write_about(folder: &Path, about: &About) -> Result<(), SnapshotError> {
    // Texts and numbers: nothing here can fail to be JSON.
    let mut bytes = serde_json::to_vec_pretty(about).unwrap_or_default();
    bytes.push(b'\n');
    Ok(durable::replace(&folder.join(ABOUT), &bytes)?)
}

fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    move |source| SnapshotError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
