//! Who may use the cache: many commands at once, or one alone.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use crate::{
    file_lock::{self, Sharing},
    progress::Progress,
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

    pub(super) fn shared(root: &Path, progress: &dyn Progress) -> io::Result<Self> {
        let file = Self::open(root)?;
        file_lock::wait(&file, Sharing::Shared, "the cache", progress)?;
        Ok(Self { _file: file })
    }

    pub(super) fn try_alone(root: &Path) -> io::Result<Option<Self>> {
        let file = Self::open(root)?;
        let alone = file_lock::attempt(&file, Sharing::Alone)?;
        Ok(alone.then_some(Self { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use crate::{cache::Cache, progress::Silent};

    #[test]
    fn many_share_the_cache_or_one_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("cache"));
        let (first, second) = (cache.share(&Silent).unwrap(), cache.share(&Silent).unwrap());
        assert!(cache.try_alone().unwrap().is_none());
        drop((first, second));
        let alone = cache.try_alone().unwrap().unwrap();
        assert!(cache.try_alone().unwrap().is_none());
        drop(alone);
        cache.share(&Silent).unwrap();
    }
}
