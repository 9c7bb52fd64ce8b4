//! Files that are held while something is done that only one program may do at a time. They stay empty, and stay where they are: only
//! the lock on them counts, and the kernel lets go of it when the program ends, however it ends.

use std::{fs::File, path::Path};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::durable::DurableError;

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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

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
}
