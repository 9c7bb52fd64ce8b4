//! The device's history on the data partition: `/var/lib/outcrop/history/NNNNNN.log`, appended to a line at a time.
//!
//! A line is on the medium before [`Journal::append`] returns. A power cut leaves a part of the last line at worst; the next append takes
//! it away. A file that is long enough is followed by the next one, which begins with a checkpoint; the oldest go then.
//!
//! A full disk costs an event, never an update: a reserve is given up first, and after that the caller is told and goes on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use outcrop_release::journal::{Entry, Event, JournalError, Last, Verified, line, signed_message, verify};

use crate::{
    device_key::{DeviceKey, DeviceKeyError},
    medium::{DataPartition, Medium, is_full},
};

/// The folder, in Outcrop's.
const FOLDER: &str = "history";
/// A file that is longer is followed by the next one.
const MOST_FILE_BYTES: u64 = 64 << 10;
/// Files that are kept: about 3000 events.
const MOST_FILES: usize = 16;
/// Digits of a file's number.
const DIGITS: usize = 6;
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
    /// Opens the history in Outcrop's folder `state`. One that can't be gone on with is set aside, and a new one begins: that is told in
    /// its first event, and whoever kept a head of the old one finds out.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(state: &Path, key: &'a DeviceKey) -> Result<Self, KeepError> {
        Self::open_on(state, key, &DataPartition)
    }

    /// The same on a medium, which is written to from now on.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(state: &Path, key: &'a DeviceKey, medium: &'a dyn Medium) -> Result<Self, KeepError> {
        let mut journal = Self {
            folder: state.join(FOLDER),
            key,
            medium,
            newest: None,
            last: None,
            damaged: false,
            before: 0,
        };
        match journal.find_end() {
            Ok(()) => Ok(journal),
            Err(KeepError::Damaged { .. }) => {
                set_aside(&journal.folder)?;
                journal.newest = None;
                journal.last = None;
                journal.damaged = true;
                Ok(journal)
            }
            Err(error) => Err(error),
        }
    }

    /// The newest event; none before the first.
    #[must_use]
    pub const fn last(&self) -> Option<&Last> {
        self.last.as_ref()
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
            Some(newest) => self.next_file(newest + 1, at)?,
            None => self.begin_file(1)?,
        };
        self.write_entry(&path, at, event)
    }

    /// Begins a file with a checkpoint, then removes the oldest.
    fn next_file(&mut self, number: u64, at: Timestamp) -> Result<PathBuf, KeepError> {
        let path = self.begin_file(number)?;
        self.write_entry(&path, at, Event::Checkpoint)?;
        let files = self.files()?;
        for old in files.iter().take(files.len().saturating_sub(MOST_FILES)) {
            let path = self.path(*old);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        Ok(path)
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

    /// Finds the newest whole line. What a power cut left behind it is taken away.
    fn find_end(&mut self) -> Result<(), KeepError> {
        for number in self.files()?.into_iter().rev() {
            self.newest = self.newest.or(Some(number));
            let path = self.path(number);
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            let whole = bytes
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            if whole < bytes.len() {
                shorten(&path, whole as u64).map_err(failed("shorten", &path))?;
            }
            let lines = bytes.get(..whole).unwrap_or_default();
            if let Some(last) = lines.split_inclusive(|byte| *byte == b'\n').next_back() {
                self.last = self.entry(last)?;
                return Ok(());
            }
            // A file that holds nothing yet: the end is in the one before.
        }
        Ok(())
    }

    /// The last event of a line that this device signed.
    fn entry(&self, line: &[u8]) -> Result<Option<Last>, KeepError> {
        // Alone it begins nowhere, and that is all that may be wrong with it.
        match outcrop_release::journal::parse_line(line, self.key.public()) {
            Ok(entry) => Ok(Some(entry.last())),
            Err(source) => Err(KeepError::Damaged {
                folder: self.folder.clone(),
                source,
            }),
        }
    }

    fn length(&self, number: u64) -> Result<u64, KeepError> {
        let path = self.path(number);
        let facts = fs::metadata(&path).map_err(failed("look at", &path))?;
        Ok(facts.len())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:0DIGITS$}.log"))
    }

    fn files(&self) -> Result<Vec<u64>, KeepError> {
        files(&self.folder).map_err(failed("list", &self.folder))
    }
}

/// The history in Outcrop's folder `state`, checked whole.
///
/// # Errors
/// When it can't be read, or was tampered with.
pub fn verified(state: &Path, key: &DeviceKey) -> Result<Verified, KeepError> {
    let folder = state.join(FOLDER);
    let mut bytes = Vec::new();
    for number in files(&folder).map_err(failed("list", &folder))? {
        let path = folder.join(format!("{number:0DIGITS$}.log"));
        let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(failed("read", &path))?;
    }
    verify(&bytes, key.public()).map_err(|source| KeepError::Damaged { folder, source })
}

/// Numbers of the files, ascending.
fn files(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
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

/// Gives a damaged history a name of its own: it is evidence.
fn set_aside(folder: &Path) -> Result<(), KeepError> {
    let aside = (1..1000)
        .map(|number| folder.with_file_name(format!("{FOLDER}.damaged-{number}")))
        .find(|aside| !aside.exists());
    let aside = aside.unwrap_or_else(|| folder.with_file_name(format!("{FOLDER}.damaged")));
    fs::rename(folder, &aside).map_err(failed("set aside", folder))?;
    sync_folder(folder.parent().unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use outcrop_release::journal::Fate;

    use super::*;
    use crate::tpm::NoTpm;

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_000_000).unwrap()
    }

    fn fate(number: u64) -> Event {
        Event::Release {
            fate: Fate::Installed,
            version: format!("1.{number}.0"),
            slot: "b".to_owned(),
            reason: None,
        }
    }

    fn began(damaged: bool) -> Event {
        Event::Began { damaged, fates: 0 }
    }

    struct Fixture {
        state: tempfile::TempDir,
        key: DeviceKey,
    }

    impl Fixture {
        fn new() -> Self {
            let state = tempfile::tempdir().unwrap();
            let key = DeviceKey::of(state.path(), NoTpm).unwrap();
            Self { state, key }
        }

        fn append(&self, number: u64) {
            let mut journal = Journal::open(self.state.path(), &self.key).unwrap();
            journal.append(now(), fate(number)).unwrap();
        }

        fn verified(&self) -> Verified {
            verified(self.state.path(), &self.key).unwrap()
        }

        fn path(&self, number: u64) -> PathBuf {
            self.state.path().join(format!("history/{number:06}.log"))
        }
    }

    #[test]
    fn events_follow_each_other_from_run_to_run() {
        let fixture = Fixture::new();
        (1..=3).for_each(|number| fixture.append(number));
        let verified = fixture.verified();
        let events: Vec<&Event> = verified.entries.iter().map(|entry| &entry.event).collect();
        assert_eq!(events, [&began(false), &fate(1), &fate(2), &fate(3)]);
        assert_eq!(verified.last.unwrap().fates, 3);
    }

    #[test]
    fn a_power_cut_in_any_byte_of_a_line_loses_that_event_alone() {
        let fixture = Fixture::new();
        fixture.append(1);
        let before = fs::read(fixture.path(1)).unwrap();
        fixture.append(2);
        let after = fs::read(fixture.path(1)).unwrap();
        for len in before.len()..after.len() {
            // A file system may give zeros where bytes weren't written.
            for tail in [after[before.len()..len].to_vec(), vec![0; len - before.len()]] {
                fs::write(fixture.path(1), [before.clone(), tail].concat()).unwrap();
                fixture.append(3);
                let verified = fixture.verified();
                assert_eq!((verified.entries.len(), verified.torn), (3, 0), "{len}");
                assert_eq!(verified.entries[2].event, fate(3));
            }
        }
    }

    #[test]
    fn files_are_followed_by_others_with_checkpoints_and_the_oldest_go() {
        let fixture = Fixture::new();
        let mut journal = Journal::open(fixture.state.path(), &fixture.key).unwrap();
        let mut count = 0;
        while files(&journal.folder).unwrap().last() != Some(&18) {
            count += 1;
            journal.append(now(), fate(count)).unwrap();
        }
        assert_eq!(files(&journal.folder).unwrap(), (3..=18).collect::<Vec<u64>>());
        let verified = fixture.verified();
        assert_eq!(verified.entries[0].event, Event::Checkpoint);
        assert_eq!(verified.last.unwrap().fates, count);
        // A power cut between a new file and its checkpoint leaves an empty file.
        fs::write(fixture.path(19), "").unwrap();
        fixture.append(0);
        let end = fixture.verified().last.unwrap();
        assert_eq!(end.fates, count + 1);
    }

    #[test]
    fn a_damaged_history_is_set_aside_and_the_new_one_says_so() {
        let fixture = Fixture::new();
        (1..=2).for_each(|number| fixture.append(number));
        let text = fs::read_to_string(fixture.path(1)).unwrap();
        let place = text.rfind("1.2.0").unwrap();
        let changed = [&text[..place], "9.9.9", &text[place + 5..]].concat();
        fs::write(fixture.path(1), &changed).unwrap();
        assert!(matches!(
            verified(fixture.state.path(), &fixture.key),
            Err(KeepError::Damaged { .. })
        ));
        fixture.append(3);
        let events: Vec<Event> = fixture
            .verified()
            .entries
            .into_iter()
            .map(|entry| entry.event)
            .collect();
        assert_eq!(events, [began(true), fate(3)]);
        let aside = fixture.state.path().join("history.damaged-1/000001.log");
        assert_eq!(fs::read_to_string(aside).unwrap(), changed);
    }

    #[test]
    fn a_history_that_cannot_be_had_is_told() {
        let fixture = Fixture::new();
        // What is no folder takes no files, whoever asks.
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join(FOLDER), "a file").unwrap();
        let opened = Journal::open(elsewhere.path(), &fixture.key);
        assert!(matches!(opened, Err(KeepError::Io { .. })));
    }
}
