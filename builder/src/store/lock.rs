//! Who may use the store: many at once, or one alone.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{
    file_lock::{self, Sharing},
    progress::Progress,
};

const WHAT: &str = "the tree store";

/// A lock on the store, held while the value lives; the kernel releases it when the process ends, however it ends.
///
/// Everyone who has the store open shares it, for as long as trees refer to objects; only one who removes objects
/// (prune) or the whole store needs it alone. libostree's own lock covers single operations only, so a prune could
/// remove objects between another build's import and its use of them.
#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
}

impl StoreLock {
    /// The lock file lies beside the store, because the store itself may be replaced.
    fn open(store: &Path) -> io::Result<File> {
        let mut name = store.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
    }

    /// Waits until nobody has the store alone.
    pub(super) fn shared(store: &Path, progress: &dyn Progress) -> io::Result<Self> {
        let file = Self::open(store)?;
        file_lock::wait(&file, Sharing::Shared, WHAT, progress)?;
        Ok(Self { file })
    }

    /// The store alone, if nobody else has it; doesn't wait.
    pub(super) fn try_alone(store: &Path) -> io::Result<Option<Self>> {
        let file = Self::open(store)?;
        let alone = file_lock::attempt(&file, Sharing::Alone)?;
        Ok(alone.then_some(Self { file }))
    }

    /// Waits until nobody else has the store.
    pub(super) fn alone(store: &Path, progress: &dyn Progress) -> io::Result<Self> {
        let file = Self::open(store)?;
        file_lock::wait(&file, Sharing::Alone, WHAT, progress)?;
        Ok(Self { file })
    }

    /// Lets others in again. Between the two states somebody else may have the store alone: look again.
    pub(super) fn share(self, progress: &dyn Progress) -> io::Result<Self> {
        file_lock::wait(&self.file, Sharing::Shared, WHAT, progress)?;
        Ok(self)
    }
}
