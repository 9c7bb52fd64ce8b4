//! The cache's packages on disk.
//!
//! ```text
//! packages/ab/abcd…   a whole package, named by its SHA-256 (64 digits) alone
//! packages/partial/abcd…   what came in so far
//! ```
//! A file gets its final name only after all its bytes had the right digest and were synced; so whatever ends the
//! process or the machine, a final name stands for a whole file. Names of packages, with their `+`, `~` and `:`, are
//! nowhere in a path.
//!
//! **Two builds at once**: who downloads a package holds a lock (flock) on its partial file. The kernel drops it with
//! the process, so there is no stale lock. Another build that wants the same package waits for the lock, then finds
//! the whole file; or, when the first one died, continues where it stopped. The final name is given while the lock
//! is held: so after locking, the partial file's name is looked up again, and when it no longer leads to the locked
//! file, the game starts over.
//!
//! **Trust**: the digest is checked when a package comes in. After that, the length is looked at on every use, and
//! the digest when a package is read into the tree store (once: later builds use the store, so this costs about 0.1 s
//! per 200 MB in cold builds only), and by `outcrop cache --verify`. [`Shelf::recheck`] removes what is damaged.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use outcrop_release::digest::FileDigest;

use super::transfer::Size;
use crate::cache::{Cache, use_time};
use crate::sha256::Sha256;

/// The package folder of a cache.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

/// What [`Shelf::recheck`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// The file is the locked one.
    Sound,
    /// The file was damaged, and is removed: the next fetch brings it again.
    Removed,
}

/// Whether a package has to be downloaded.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is there.
    Found(PathBuf),
    /// It isn't, and nobody else will download it while the value lives.
    Ours(Partial),
    /// Another process is downloading it.
    Busy,
}

impl Shelf {
    /// The packages of `cache`.
    #[must_use]
    pub fn of(cache: &Cache) -> Self {
        Self {
            folder: cache.packages(),
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of unfinished downloads.
    #[must_use]
    pub fn partial_folder(&self) -> PathBuf {
        self.folder.join("partial")
    }

    /// Where a package lies once it is there.
    #[must_use]
    pub fn path(&self, sha256: &FileDigest) -> PathBuf {
        let name = sha256.to_string();
        self.folder.join(name.get(..2).unwrap_or_default()).join(name)
    }

    /// The package if it is there with its length; its use is recorded (the file's time), for pruning.
    #[must_use]
    pub fn find(&self, sha256: &FileDigest, size: u64) -> Option<PathBuf> {
        let path = self.path(sha256);
        let found = fs::metadata(&path).ok()?;
        if !found.is_file() || found.len() != size {
            return None;
        }
        use_time::renew_found(&path, &found);
        Some(path)
    }

    /// The file if it is there, whatever its length; its use is recorded. Who reads it checks its digest.
    #[must_use]
    pub fn find_any(&self, sha256: &FileDigest) -> Option<PathBuf> {
        let size = fs::metadata(self.path(sha256)).ok()?.len();
        self.find(sha256, size)
    }

    /// The digests of all packages that are there, sorted.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list(&self) -> io::Result<Vec<FileDigest>> {
        let mut digests = Vec::new();
        for shard in read_folder(&self.folder)? {
            if shard.is_dir() && shard != self.partial_folder() {
                let files = read_folder(&shard)?.into_iter();
                digests
                    .extend(files.filter_map(|file| file.file_name()?.to_str()?.parse::<FileDigest>().ok()));
            }
        }
        digests.sort();
        Ok(digests)
    }

    /// Reads a package again and checks its digest; a damaged file is removed. A missing one counts as removed.
    ///
    /// # Errors
    /// When the file can't be read or removed.
    pub fn recheck(&self, sha256: &FileDigest) -> io::Result<Recheck> {
        let path = self.path(sha256);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Recheck::Removed),
            file => file?,
        };
        let mut hasher = Sha256::new();
        hash_next(&mut file, u64::MAX, &mut hasher)?;
        if FileDigest::from_bytes(hasher.finish()) == *sha256 {
            return Ok(Recheck::Sound);
        }
        // Another process may have found the damage too, and put a whole file in its place meanwhile.
        if leads_to(&path, &file)? {
            fs::remove_file(&path)?;
        }
        Ok(Recheck::Removed)
    }

    /// Claims the download of a package: see the module's text.
    pub(super) fn claim(&self, sha256: &FileDigest, size: Size) -> io::Result<Claim> {
        let folder = self.partial_folder();
        fs::create_dir_all(&folder)?;
        let path = folder.join(sha256.to_string());
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Claim::Busy),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if !leads_to(&path, &file)? {
                continue; // it was published or removed between open and lock
            }
            let (found, most) = match size {
                Size::Known(size) => (self.find(sha256, size), size),
                Size::AtMost(most) => (self.find_any(sha256), most),
            };
            if let Some(found) = found {
                fs::remove_file(&path)?;
                return Ok(Claim::Found(found));
            }
            return Partial::read(file, path, most).map(Claim::Ours);
        }
    }
}

/// The paths in a folder; none when it doesn't exist.
fn read_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// Whether `path` is a name of the open `file`.
fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let named = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        named => named?,
    };
    let open = file.metadata()?;
    Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
}

/// Feeds at most `length` bytes of `file` to `hasher`; returns how many there were.
fn hash_next(file: &mut File, length: u64, hasher: &mut Sha256) -> io::Result<u64> {
    let mut piece = vec![0; 128 << 10];
    let mut bounded = file.take(length);
    let mut hashed = 0;
    loop {
        match bounded.read(&mut piece) {
            Ok(0) => return Ok(hashed),
            Ok(read) => {
                hasher.update(&piece[..read]);
                hashed += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A download under way, locked against other processes. Dropped, it stays on disk for the next try.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    hasher: Sha256,
    length: u64,
}

impl Partial {
    /// Takes over what is in `file`; more than `size` bytes can't be right and are dropped.
    fn read(mut file: File, path: PathBuf, size: u64) -> io::Result<Self> {
        let there = file.metadata()?.len();
        let mut hasher = Sha256::new();
        let length = if there > size {
            0
        } else {
            hash_next(&mut file, there, &mut hasher)?
        };
        let mut partial = Self {
            file,
            path,
            hasher,
            length,
        };
        if there != length {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Bytes that are there.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Drops what is there.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        use std::io::Seek as _;
        if self.length > 0 || self.file.metadata()?.len() > 0 {
            self.file.set_len(0)?;
            self.file.rewind()?;
        }
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Appends bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The digest of all bytes so far.
    pub(super) fn digest(&self) -> FileDigest {
        FileDigest::from_bytes(self.hasher.clone().finish())
    }

    /// Syncs the bytes, gives the file its final name, syncs the name.
    pub(super) fn publish(self, target: &Path) -> io::Result<()> {
        let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let made = !folder.is_dir();
        fs::create_dir_all(folder)?;
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        File::open(folder)?.sync_all()?;
        match folder.parent() {
            Some(parent) if made => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }
}
