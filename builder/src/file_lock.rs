//! Locks on files (flock), waited for as long as the user wants to. The kernel releases them with the process.

use std::{
    fs::{File, TryLockError},
    io, thread,
    time::Duration,
};

use crate::progress::Progress;

/// The wait between two tries.
const POLL: Duration = Duration::from_millis(50);

/// Who else may have the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Others who share it.
    Shared,
    /// Nobody.
    Alone,
}

impl Sharing {
    fn attempt(self, file: &File) -> Result<(), TryLockError> {
        match self {
            Self::Shared => file.try_lock_shared(),
            Self::Alone => file.try_lock(),
        }
    }
}

/// Locks `file`. When another process has it, tells so once (`what` is what that process uses: "the cache") and waits.
///
/// # Errors
/// When the file system can't lock, or the user asks to stop waiting.
pub(crate) fn wait(file: &File, sharing: Sharing, what: &str, progress: &dyn Progress) -> io::Result<()> {
    let mut told = false;
    loop {
        match sharing.attempt(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !told {
            progress.note(&format!("waiting: another outcrop command is using {what}"));
            told = true;
        }
        progress.checkpoint()?;
        thread::sleep(POLL);
    }
}

/// Locks `file` if that needs no waiting.
///
/// # Errors
/// When the file system can't lock.
pub(crate) fn attempt(file: &File, sharing: Sharing) -> io::Result<bool> {
    match sharing.attempt(file) {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::progress::{Cancelled, Phase, Silent, Unit};

    #[derive(Default)]
    struct Told {
        notes: Mutex<Vec<String>>,
        stop: AtomicBool,
    }

    impl Progress for Told {
        fn phase(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Phase> {
            Box::new(Silent)
        }

        fn note(&self, line: &str) {
            self.notes.lock().unwrap().push(line.to_owned());
        }

        fn checkpoint(&self) -> Result<(), Cancelled> {
            if self.stop.load(Ordering::SeqCst) {
                return Err(Cancelled);
            }
            Ok(())
        }
    }

    #[test]
    fn who_waits_says_so_once_and_can_be_stopped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other = file.reopen().unwrap();
        other.lock().unwrap();
        let told = Told::default();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(file.as_file(), Sharing::Shared, "the cache", &told));
            thread::sleep(POLL * 4);
            assert!(!waiting.is_finished());
            told.stop.store(true, Ordering::SeqCst);
            assert!(waiting.join().unwrap().is_err());
        });
        assert_eq!(
            *told.notes.lock().unwrap(),
            ["waiting: another outcrop command is using the cache"]
        );
        assert!(!attempt(file.as_file(), Sharing::Alone).unwrap());
        drop(other);
        wait(file.as_file(), Sharing::Alone, "the cache", &Silent).unwrap();
    }
}
