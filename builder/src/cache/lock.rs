//! Who may use the cache: many commands at once, or one alone.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

/// A lock on the cache, held while the value lives. The kernel releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct CacheLock {
    _file: File,
}

impl CacheLock {
    fn open(root: &Path) -> io::Result<File> {
        fs::create_dir_all(root)?;
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("lock"))
    }

    pub(super) fn shared(root: &Path) -> io::Result<Self> {
        let file = Self::open(root)?;
        file.lock_shared()?;
        Ok(Self { _file: file })
    }

    pub(super) fn try_alone(root: &Path) -> io::Result<Option<Self>> {
        let file = Self::open(root)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::Cache;

    #[test]
    fn many_share_the_cache_or_one_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("cache"));
        let (first, second) = (cache.share().unwrap(), cache.share().unwrap());
        assert!(cache.try_alone().unwrap().is_none());
        drop((first, second));
        let alone = cache.try_alone().unwrap().unwrap();
        assert!(cache.try_alone().unwrap().is_none());
        drop(alone);
        cache.share().unwrap();
    }
}
