//! Files that appear whole or not at all.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file under construction beside its final place. It takes its name in [`PendingFile::publish`]; dropped before
/// that, nothing of it stays.
#[derive(Debug)]
pub struct PendingFile {
    file: NamedTempFile,
    target: PathBuf,
}

impl PendingFile {
    /// Begins a file that will be called `target`. Its permission bits follow the umask, as for any new file.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn create(target: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".outcrop-")
            .suffix(".partial")
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        Ok(Self {
            file,
            target: target.to_owned(),
        })
    }

    /// The file, for writing.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Where the file lies while it is under construction; for tools that want a path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Syncs the bytes, gives the file its name, syncs the folder. After a crash the name holds the old or the new.
    ///
    /// # Errors
    /// When any of that fails; the old file, if there was one, is then still there.
    pub fn publish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        let folder = self.file.path().parent().map(Path::to_owned);
        self.file.persist(&self.target).map_err(|error| error.error)?;
        folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    /// Like [`PendingFile::publish`], but never replaces a file.
    ///
    /// # Errors
    /// When the name is taken (`AlreadyExists`), or the file can't be synced or renamed.
    pub fn publish_new(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        let folder = self.file.path().parent().map(Path::to_owned);
        self.file
            .persist_noclobber(&self.target)
            .map_err(|error| error.error)?;
        folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// Tries whether a [`PendingFile`] for `target` can be made: to be asked before long work whose result goes there.
///
/// # Errors
/// When it can't.
pub fn try_beside(target: &Path) -> io::Result<()> {
    PendingFile::create(target).map(drop)
}

/// Replaces `target` by `bytes`: see [`PendingFile`].
///
/// # Errors
/// When the file can't be written, synced or renamed.
pub fn replace_file(target: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let pending = PendingFile::create(target)?;
    pending.file().write_all(bytes)?;
    pending.publish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_file_leaves_nothing_and_a_published_one_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        replace_file(&target, b"old").unwrap();
        drop(PendingFile::create(&target).unwrap());
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        replace_file(&target, b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}
