//! Small files that survive a power cut: the old content or the new one, never half of it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// Modes of files, before the process' umask.
const PUBLIC: u32 = 0o666;
const PRIVATE: u32 = 0o600;

/// A file can't be kept.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}", path.display())]
pub struct DurableError {
    /// What was being done.
    pub doing: &'static str,
    /// To what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl DurableError {
    fn new(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

/// Writes `bytes` to the file `path`, whose folder is made if it is missing. Bytes, then name, then folder: each is on the disk
/// before the next depends on it.
///
/// # Errors
/// When there is no room, or the file system fails. The old content is untouched then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    replace_with(path, bytes, File::options().mode(PUBLIC))
}

/// The same for a file that only its owner may read.
///
/// # Errors
/// As [`replace`].
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    // One that a power cut left may have been made otherwise.
    remove(&path.with_extension("new"))?;
    replace_with(path, bytes, File::options().mode(PRIVATE))
}

fn replace_with(path: &Path, bytes: &[u8], options: &mut OpenOptions) -> Result<(), DurableError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(DurableError::new("make folder", folder))?;
    let new = path.with_extension("new");
    // On a stick the name may be somebody's link to another file, or a pipe that nobody reads.
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let mut write = || {
        let mut file = options.write(true).create(true).truncate(true).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| {
        // What a full disk took of it is room again.
        let _gone_or_not = fs::remove_file(&new);
        DurableError::new("write", &new)(error)
    })?;
    fs::rename(&new, path).map_err(DurableError::new("rename to", path))?;
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        flush_folder(folder)?;
    }
    Ok(())
}

/// Gives the file or folder `from` the name `to`. Afterwards it has that name, and only that.
///
/// # Errors
/// When the file system fails: it has one of the names then.
pub fn rename(from: &Path, to: &Path) -> Result<(), DurableError> {
    fs::rename(from, to).map_err(DurableError::new("move", from))?;
    for path in [to, from] {
        flush_folder(path.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Removes the file `path`; true when it was there. Afterwards it stays away.
///
/// # Errors
/// When the file system fails.
pub fn remove(path: &Path) -> Result<bool, DurableError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result.map_err(DurableError::new("remove", path))?,
    }
    flush_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(true)
}

/// The content of the file `path`; none when it isn't there.
///
/// # Errors
/// When it is there and can't be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, DurableError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DurableError::new("read", path)(error)),
    }
}

/// Has the names in `folder` survive a power cut.
pub(crate) fn flush_folder(folder: &Path) -> Result<(), DurableError> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(DurableError::new("flush folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("folder/result.json");
        for text in ["one", "two"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
        assert_eq!(read(&path).unwrap(), None);
    }

    #[test]
    fn what_lies_where_it_is_written_to_is_neither_followed_nor_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let (path, other) = (root.path().join("a.report"), root.path().join("other"));
        fs::write(&other, "other").unwrap();
        std::os::unix::fs::symlink(&other, root.path().join("a.new")).unwrap();
        assert!(replace(&path, b"text").is_err());
        assert_eq!(fs::read(&other).unwrap(), b"other");
        crate::beneath::tests::pipe(&root.path().join("b.new"));
        assert!(replace(&root.path().join("b.report"), b"text").is_err());
    }

    #[test]
    fn a_file_that_can_t_be_written_is_named_and_the_old_one_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("result.json");
        replace(&path, b"old").unwrap();
        fs::create_dir(root.path().join("result.new")).unwrap();
        let error = replace(&path, b"new").unwrap_err();
        assert!(error.to_string().contains("result.new"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
