//! A folder for everything that a test run makes beside `target/`: copies of disks, caches, sockets. Tests that are killed can't
//! clear up behind themselves; the next run does.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

use crate::{error::Error, project};

const PREFIX: &str = "outcrop-test-";
/// What the machines and the builds beside them take at most, in bytes: 6 GiB were seen.
const NEEDED_BYTES: u64 = 8 << 30;
/// The same with what is compiled and built before, when none of it is there: 16 GB were seen.
const NEEDED_FROM_NOTHING_BYTES: u64 = 20 << 30;

/// The folder of this run; removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it in the system's folder for temporary files, where builds of nobody's get to it too, and removes those of runs that
    /// are over.
    pub(crate) fn new() -> Result<Self, Error> {
        let parent = env::temp_dir();
        remove_stale(&parent);
        let path = parent.join(format!("{PREFIX}{}", process::id()));
        fs::create_dir(&path).map_err(|source| Error::File {
            doing: "create the folder",
            path: path.clone(),
            source,
        })?;
        let scratch = Self(path);
        for folder in [scratch.path(), project::target().as_path()] {
            check_space(folder, NEEDED_BYTES)?;
        }
        Ok(scratch)
    }

    /// Checks that a whole test run has room, before it takes its time.
    pub(crate) fn check_room() -> Result<(), Error> {
        let target = project::target();
        let needed = match target.join("releases").exists() {
            true => NEEDED_BYTES,
            false => NEEDED_FROM_NOTHING_BYTES,
        };
        check_space(&target, needed)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what runs left whose process is gone.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(process) = process.and_then(|digits| digits.parse::<u32>().ok())
            && !Path::new("/proc").join(process.to_string()).exists()
        {
            // Another user's stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn check_space(folder: &Path, needed: u64) -> Result<(), Error> {
    let stat = rustix::fs::statvfs(folder).map_err(|error| Error::File {
        doing: "ask for the free space of",
        path: folder.to_owned(),
        source: error.into(),
    })?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= needed {
        return Ok(());
    }
    Err(Error::Space {
        folder: folder.to_owned(),
        free: free >> 20,
        needed: needed >> 20,
    })
}
