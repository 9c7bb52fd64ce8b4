//! Files that are held while something is done that only one program may do at a time. They stay empty, and stay where they are: only
//! the lock on them counts, and the kernel lets go of it when the program ends, however it ends.

use std::{
    fs::File,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::durable::DurableError;

/// How often it is looked whether what another program holds is free.
const STEP: Duration = Duration::from_millis(10);

/// What to do when another program holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Wait for it.
    Wait,
    /// Leave it.
    GiveWay,
}

/// Holds the lock file `path`, in a folder that is there, as long as the file is open; nothing when another program has it, and `held` says to give way.
///
/// # Errors
/// When it can't be made or locked.
pub fn hold(path: &Path, held: Held) -> Result<Option<File>, DurableError> {
    let failed = |source| DurableError {
        doing: "lock",
        path: path.to_owned(),
        source,
    };
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false);
    let file = options.open(path).map_err(failed)?;
    let how = match held {
        Held::Wait => FlockOperation::LockExclusive,
        Held::GiveWay => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Holds the folder `folder` itself as long as it is open: alone, or together with others that don't hold it alone. Nothing when somebody still holds it
/// against that after `patience`. Neither a full disk nor one that can't be written keeps anybody from it.
///
/// # Errors
/// When it isn't there, or can't be locked.
pub fn hold_folder(folder: &Path, alone: bool, patience: Duration) -> Result<Option<File>, DurableError> {
    let failed = |source| DurableError {
        doing: "lock",
        path: folder.to_owned(),
        source,
    };
    let file = File::open(folder).map_err(failed)?;
    let how = match alone {
        true => FlockOperation::NonBlockingLockExclusive,
        false => FlockOperation::NonBlockingLockShared,
    };
    let begin = Instant::now();
    loop {
        match flock(&file, how) {
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK) if begin.elapsed() < patience => thread::sleep(STEP),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn one_at_a_time_holds_it_and_another_gives_way_or_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let held = hold(&path, Held::GiveWay).unwrap().unwrap();
        assert!(hold(&path, Held::GiveWay).unwrap().is_none());
        thread::scope(|scope| {
            let (to_us, theirs) = mpsc::channel();
            let path = &path;
            scope.spawn(move || to_us.send(hold(path, Held::Wait).unwrap().is_some()).unwrap());
            assert!(theirs.recv_timeout(Duration::from_millis(50)).is_err());
            drop(held);
            assert!(theirs.recv().unwrap());
        });
        assert!(hold(&path, Held::GiveWay).unwrap().is_some());
    }

    #[test]
    fn a_folder_that_isn_t_there_is_an_error_that_names_the_file() {
        let error = hold(Path::new("/nonexistent/x.lock"), Held::Wait).unwrap_err();
        assert_eq!(error.to_string(), "lock /nonexistent/x.lock");
    }

    #[test]
    fn a_folder_is_held_by_one_alone_or_by_many_who_read() {
        let folder = tempfile::tempdir().unwrap();
        let hold = |alone, patience| hold_folder(folder.path(), alone, patience).unwrap();
        let readers = [hold(false, Duration::ZERO), hold(false, Duration::ZERO)];
        assert!(readers.iter().all(Option::is_some));
        assert!(hold(true, Duration::from_millis(30)).is_none());
        drop(readers);
        let alone = hold(true, Duration::ZERO).unwrap();
        assert!(hold(false, Duration::ZERO).is_none());
        thread::scope(|scope| {
            scope.spawn(|| assert!(hold(false, Duration::from_secs(60)).is_some()));
            thread::sleep(Duration::from_millis(30));
            drop(alone);
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
