//! The device's history on the data partition: `/var/lib/outcrop/history/NNNNNN.log`, appended to a line at a time.
//!
//! A line is on the medium before [`Journal::append`] returns. A power cut leaves a part of the last line at worst; the next append takes
//! it away. A file that is long enough is followed by the next one, which begins with a checkpoint; the oldest go then.
//!
//! Only one program at a time may have it open to append ([`crate::recorder`] sees to that): two would give the same number to two events. Whoever
//! only reads changes nothing.
//!
//! A full disk costs an event, never an update: a reserve is given up first, and after that the caller is told and goes on.

mod reading;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use outcrop_release::journal::{Entry, Event, JournalError, Last, line, signed_message};

use crate::{
    device_key::{DeviceKey, DeviceKeyError},
    medium::{Medium, is_full},
};
use reading::{End, files, path_of};
pub use reading::{newest, verified};

/// The folder, in Outcrop's.
const FOLDER: &str = "history";
/// A file that is longer is followed by the next one.
const MOST_FILE_BYTES: u64 = 64 << 10;
/// Files that are kept: about 3000 events.
const MOST_FILES: usize = 16;
/// Given up when the disk is full.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 64 << 10;

/// The history can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The disk.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An event can't be signed.
    #[error(transparent)]
    Sign(#[from] DeviceKeyError),
    /// It was tampered with, or is damaged.
    #[error("the history in {} isn't what this device wrote", folder.display())]
    Damaged {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong with it.
        source: JournalError,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeepError + use<> {
    let path = path.to_owned();
    move |source| KeepError::Io { doing, path, source }
}

/// A device's history.
pub struct Journal<'a> {
    folder: PathBuf,
    key: &'a DeviceKey,
    medium: &'a dyn Medium,
    /// The newest file, if there is one.
    newest: Option<u64>,
    last: Option<Last>,
    /// Whether there was one that was set aside.
    damaged: bool,
    /// Fates of releases before the history begins.
    before: u64,
}

impl<'a> Journal<'a> {
    /// Opens the history in Outcrop's folder `state`, to append to it on `medium`. What a power cut left behind its newest whole line is taken
    /// away. One that can't be gone on with is set aside, and a new one begins: that is told in its first event, and whoever kept a head of the
    /// old one finds out.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open_on(state: &Path, key: &'a DeviceKey, medium: &'a dyn Medium) -> Result<Self, KeepError> {
        let folder = state.join(FOLDER);
        let end = match End::find(&folder, key) {
            Err(KeepError::Damaged { .. }) => {
                set_aside(&folder)?;
                End::default()
            }
            found => found?,
        };
        for (number, whole) in end.torn {
            let path = path_of(&folder, number);
            shorten(&path, whole).map_err(failed("shorten", &path))?;
        }
        Ok(Self {
            // Also one that another program, or an earlier moment, set aside and that nothing has followed yet.
            damaged: aside(&folder, 1).exists(),
            folder,
            key,
            medium,
            newest: end.newest,
            last: end.last,
            before: 0,
        })
    }

    /// How many fates of releases it knows of. Where it hasn't begun, it begins behind `before` of them.
    pub fn fates(&mut self, before: u64) -> u64 {
        self.before = before;
        self.last.map_or(before, |last| last.fates)
    }

    /// Appends an event. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// When there is no room, the disk fails, or the key can't be unsealed. The history is as it was then.
    pub fn append(&mut self, at: Timestamp, event: Event) -> Result<(), KeepError> {
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder).map_err(failed("make folder", &self.folder))?;
            sync_folder(self.folder.parent().unwrap_or(&self.folder))?;
        }
        if self.last.is_none() && !matches!(event, Event::Began { .. }) {
            let (damaged, fates) = (self.damaged, self.before);
            self.put(at, Event::Began { damaged, fates })?;
        }
        self.put(at, event)
    }

    fn put(&mut self, at: Timestamp, event: Event) -> Result<(), KeepError> {
        let path = match self.newest {
            Some(newest) if self.length(newest)? < MOST_FILE_BYTES => self.path(newest),
            Some(newest) => self.begin_file(newest + 1)?,
            None => self.begin_file(1)?,
        };
        // Also in one whose checkpoint a power cut or a full disk kept away: it is the oldest one day.
        if self.last.is_some() && is_empty(&path)? {
            self.write_entry(&path, at, Event::Checkpoint)?;
            self.remove_oldest()?;
        }
        self.write_entry(&path, at, event)
    }

    fn remove_oldest(&self) -> Result<(), KeepError> {
        let files = self.files()?;
        for old in files.iter().take(files.len().saturating_sub(MOST_FILES)) {
            let path = self.path(*old);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        Ok(())
    }

    fn begin_file(&mut self, number: u64) -> Result<PathBuf, KeepError> {
        let path = self.path(number);
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed("make", &path))?;
        sync_folder(&self.folder)?;
        self.newest = Some(number);
        Ok(path)
    }

    fn write_entry(&mut self, path: &Path, at: Timestamp, event: Event) -> Result<(), KeepError> {
        let entry = Entry::after(self.last.as_ref(), at, self.key.device(), event);
        let json = entry.to_json();
        let bytes = line(&json, &self.key.sign(&signed_message(&json))?);
        let written = match self.write_line(path, &bytes) {
            Err(error) if is_full(&error) && remove_reserve(&self.folder) => self.write_line(path, &bytes),
            written => written,
        };
        written.map_err(failed("append to", path))?;
        self.last = Some(entry.last());
        // While there is room: the next full disk finds it.
        let _room_or_not = self.keep_reserve();
        Ok(())
    }

    fn keep_reserve(&self) -> io::Result<()> {
        let path = self.folder.join(RESERVE);
        if path.exists() {
            return Ok(());
        }
        let result = self.medium.make(&path, &vec![0xff; RESERVE_BYTES]);
        if result.is_err() {
            fs::remove_file(&path)?;
        }
        result
    }

    /// All of it or, as far as that can be had, nothing.
    fn write_line(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let before = fs::metadata(path)?.len();
        let written = self.medium.append(path, bytes);
        if written.is_err() {
            // Where even that fails, the next one to open it does it.
            let _shortened = shorten(path, before);
        }
        written
    }

    fn length(&self, number: u64) -> Result<u64, KeepError> {
        length(&self.path(number))
    }

    fn path(&self, number: u64) -> PathBuf {
        path_of(&self.folder, number)
    }

    fn files(&self) -> Result<Vec<u64>, KeepError> {
        files(&self.folder).map_err(failed("list", &self.folder))
    }
}

fn length(path: &Path) -> Result<u64, KeepError> {
    let facts = fs::metadata(path).map_err(failed("look at", path))?;
    Ok(facts.len())
}

fn is_empty(path: &Path) -> Result<bool, KeepError> {
    Ok(length(path)? == 0)
}

fn shorten(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}

/// Gives up the reserve of the history in Outcrop's folder `state`: there is room for what else has to be remembered then, and for the events about
/// it. True when there was one.
pub fn give_up_reserve(state: &Path) -> bool {
    remove_reserve(&state.join(FOLDER))
}

fn remove_reserve(folder: &Path) -> bool {
    fs::remove_file(folder.join(RESERVE)).is_ok()
}

fn sync_folder(folder: &Path) -> Result<(), KeepError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed("sync", folder))
}

fn aside(folder: &Path, number: u32) -> PathBuf {
    folder.with_file_name(format!("{FOLDER}.damaged-{number}"))
}

/// Gives a damaged history a name of its own: it is evidence.
fn set_aside(folder: &Path) -> Result<(), KeepError> {
    let free = (1..1000)
        .map(|number| aside(folder, number))
        .find(|aside| !aside.exists());
    let free = free.unwrap_or_else(|| folder.with_file_name(format!("{FOLDER}.damaged")));
    fs::rename(folder, &free).map_err(failed("set aside", folder))?;
    sync_folder(folder.parent().unwrap_or(folder))
}
