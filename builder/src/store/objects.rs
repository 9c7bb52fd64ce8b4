//! Writes and reads loose objects of the repository.
//!
//! libostree writes a file object through a GIO stream with GLib's own SHA-256. On a package set of 12,000 files and
//! 425 MB that costs 4.0 s of processor time, against 1.4 s here (SHA instructions, six system calls a file): a fifth
//! of a whole cold build. So objects, and only they, are written directly (docs/adr/0006). What results is a plain repository:
//! libostree commits, checks and prunes it, and tests compare object by object.
//!
//! An object takes its name by `rename` once it is complete, so a killed process leaves at most a nameless temporary
//! file. See [`super::unsynced`] for power cuts.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::XattrFlags;

use super::{
    StoreError,
    checksum::Checksum,
    variant::{self, DIRECTORY, Folder, Listing, REGULAR, SYMLINK},
};
use crate::tree::{Metadata, StoredObject, TreePath};

/// File contents up to this length are hashed before anything is written: most exist already on a rebuild.
const WHOLE: usize = 256 << 10;
/// How temporary files begin; [`Objects::remove_leftovers`] looks for it.
const TEMPORARY: &str = "outcrop-";
/// Where a `bare-user` repository keeps owner, mode and attributes of a file object.
const OSTREE_META: &str = "user.ostreemeta";

/// The object folder of a repository in mode `bare-user`.
#[derive(Debug)]
pub(super) struct Objects {
    objects: PathBuf,
    temporary: PathBuf,
}

/// Writes objects; keeps one buffer for all of them.
#[derive(Debug)]
pub(super) struct ObjectWriter<'a> {
    objects: &'a Objects,
    buffer: Vec<u8>,
}

/// Removes a temporary file that didn't become an object.
struct Temporary {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path); // a leftover is removed by the next one who has the store alone
        }
    }
}

impl Objects {
    pub(super) fn new(repository: &Path) -> Self {
        Self {
            objects: repository.join("objects"),
            temporary: repository.join("tmp"),
        }
    }

    pub(super) fn writer(&self) -> ObjectWriter<'_> {
        ObjectWriter {
            objects: self,
            buffer: Vec::with_capacity(WHOLE + 1),
        }
    }

    /// Removes temporary files of processes that were killed. Only for one who has the store alone.
    pub(super) fn remove_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.temporary)? {
            let entry = entry?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(TEMPORARY.as_bytes())
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The folders that hold objects.
    pub(super) fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut folders = fs::read_dir(&self.objects)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        folders.sort();
        Ok(folders)
    }

    /// The checksum that the path of an object says.
    pub(super) fn checksum_of(path: &Path) -> Option<Checksum> {
        let folder = path.parent()?.file_name()?.to_str()?;
        Checksum::parse(&format!("{folder}{}", path.file_stem()?.to_str()?))
    }

    /// Whether `object` is a file object of this repository with exactly this metadata.
    pub(super) fn holds(&self, object: &StoredObject, metadata: &Metadata) -> Option<Checksum> {
        let own = object.path.starts_with(&self.objects) && object.metadata == *metadata;
        own.then(|| Checksum::parse(&object.checksum)).flatten()
    }

    fn path_of(&self, checksum: &Checksum, kind: &str) -> PathBuf {
        self.objects.join(checksum.loose_path(kind))
    }

    /// Reads a listing.
    pub(super) fn listing(&self, checksum: &Checksum) -> Result<Listing, StoreError> {
        let bytes = self.metadata_object(checksum, "dirtree")?;
        Listing::parse(&bytes).ok_or_else(|| damaged(checksum, "it is no listing"))
    }

    /// Reads a folder's metadata.
    pub(super) fn folder_metadata(&self, checksum: &Checksum) -> Result<Metadata, StoreError> {
        let bytes = self.metadata_object(checksum, "dirmeta")?;
        match variant::parse_metadata(&bytes) {
            Some((metadata, DIRECTORY)) => Ok(metadata),
            _ => Err(damaged(checksum, "it is no folder's metadata")),
        }
    }

    fn metadata_object(&self, checksum: &Checksum, kind: &str) -> Result<Vec<u8>, StoreError> {
        fs::read(self.path_of(checksum, kind)).map_err(|error| damaged(checksum, &error.to_string()))
    }

    /// Finds a file object: a file's, or a symbolic link's with its target.
    pub(super) fn file(&self, checksum: &Checksum) -> Result<FileObject, StoreError> {
        let path = self.path_of(checksum, "file");
        let fail = |error: &dyn ToString| damaged(checksum, &error.to_string());
        match metadata_of(&path).map_err(|error| fail(&error))? {
            Some((metadata, REGULAR)) => {
                let size = fs::metadata(&path).map_err(|error| fail(&error))?.len();
                Ok(FileObject::Regular(StoredObject {
                    checksum: checksum.to_string(),
                    path,
                    size,
                    metadata,
                }))
            }
            Some((metadata, SYMLINK)) => {
                let mut target = fs::read(&path).map_err(|error| fail(&error))?;
                target.pop_if(|last| *last == 0);
                let target = String::from_utf8(target).map_err(|error| fail(&error))?;
                Ok(FileObject::Symlink(metadata, target))
            }
            _ => Err(damaged(checksum, "its attribute user.ostreemeta is malformed")),
        }
    }

    fn temporary(&self, mode: u32) -> io::Result<Temporary> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TEMPORARY}{}-{number}", std::process::id());
            let path = self.temporary.join(OsString::from(name));
            let mut options = File::options();
            match options.write(true).create_new(true).mode(mode).open(&path) {
                Ok(file) => {
                    return Ok(Temporary {
                        path,
                        file,
                        kept: false,
                    });
                }
                // another process with this id, in another PID namespace or long gone
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a `.file` object is.
#[derive(Debug)]
pub(super) enum FileObject {
    Regular(StoredObject),
    Symlink(Metadata, String),
}

impl ObjectWriter<'_> {
    /// Stores a regular file; `content` is read to its end. `name` is for errors.
    pub(super) fn regular(
        &mut self,
        name: &TreePath,
        metadata: &Metadata,
        content: &mut dyn Read,
    ) -> Result<StoredObject, StoreError> {
        self.buffer.clear();
        let mut head = content.take(WHOLE as u64 + 1);
        read_content(head.read_to_end(&mut self.buffer), name)?;
        let (checksum, size) = if self.buffer.len() <= WHOLE {
            self.whole_file(metadata)?
        } else {
            self.long_file(name, metadata, content)?
        };
        Ok(StoredObject {
            checksum: checksum.to_string(),
            path: self.objects.path_of(&checksum, "file"),
            size,
            metadata: metadata.clone(),
        })
    }

    /// The file is in the buffer.
    fn whole_file(&self, metadata: &Metadata) -> Result<(Checksum, u64), StoreError> {
        let mut hash = variant::hash_of_header(metadata, REGULAR, "");
        hash.update(&self.buffer);
        let checksum = Checksum::finish(hash);
        self.content_object(&checksum, metadata, REGULAR, &self.buffer)?;
        Ok((checksum, self.buffer.len() as u64))
    }

    /// The buffer holds the file's beginning.
    fn long_file(
        &mut self,
        name: &TreePath,
        metadata: &Metadata,
        content: &mut dyn Read,
    ) -> Result<(Checksum, u64), StoreError> {
        let fail = |source| write_error(&self.objects.temporary, source);
        let mut hash = variant::hash_of_header(metadata, REGULAR, "");
        let mut temporary = self.objects.temporary(0o644).map_err(fail)?;
        let mut size = 0;
        while !self.buffer.is_empty() {
            hash.update(&self.buffer);
            temporary.file.write_all(&self.buffer).map_err(fail)?;
            size += self.buffer.len() as u64;
            self.buffer.clear();
            let mut piece = content.take(WHOLE as u64);
            read_content(piece.read_to_end(&mut self.buffer), name)?;
        }
        let checksum = Checksum::finish(hash);
        let path = self.objects.path_of(&checksum, "file");
        if !exists(&path)? {
            finish(temporary, metadata, REGULAR, &path).map_err(fail)?;
        }
        Ok((checksum, size))
    }

    /// Stores a symbolic link; in this repository mode it is a file that holds the target and a NUL.
    pub(super) fn symlink(&self, metadata: &Metadata, target: &str) -> Result<Checksum, StoreError> {
        let checksum = Checksum::finish(variant::hash_of_header(metadata, SYMLINK, target));
        let content = [target.as_bytes(), b"\0"].concat();
        self.content_object(&checksum, metadata, SYMLINK, &content)?;
        Ok(checksum)
    }

    /// Stores a folder's metadata and its listing.
    pub(super) fn folder(&self, metadata: &Metadata, listing: &mut Listing) -> Result<Folder, StoreError> {
        let metadata = variant::metadata_bytes(metadata, DIRECTORY);
        Ok(Folder {
            contents: self.metadata_object(&listing.sort_and_serialize(), "dirtree")?,
            metadata: self.metadata_object(&metadata, "dirmeta")?,
        })
    }

    fn content_object(
        &self,
        checksum: &Checksum,
        metadata: &Metadata,
        kind: u32,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.objects.path_of(checksum, "file");
        if exists(&path)? {
            return Ok(());
        }
        let write = || {
            let mut temporary = self.objects.temporary(0o644)?;
            temporary.file.write_all(bytes)?;
            finish(temporary, metadata, kind, &path)
        };
        write().map_err(|source| write_error(&path, source))
    }

    fn metadata_object(&self, bytes: &[u8], kind: &str) -> Result<Checksum, StoreError> {
        let checksum = Checksum::of(bytes);
        let path = self.objects.path_of(&checksum, kind);
        if exists(&path)? {
            return Ok(checksum);
        }
        let write = || {
            let mut temporary = self.objects.temporary(0o644)?;
            temporary.file.write_all(bytes)?;
            publish(temporary, &path)
        };
        write().map_err(|source| write_error(&path, source))?;
        Ok(checksum)
    }
}

/// Gives a written content object its metadata and its name. The mode on the build machine is libostree's choice for
/// this repository mode: never setuid, always readable; the one that counts is in the attribute.
fn finish(temporary: Temporary, metadata: &Metadata, kind: u32, path: &Path) -> io::Result<()> {
    let attribute = variant::metadata_bytes(metadata, kind);
    rustix::fs::fsetxattr(&temporary.file, OSTREE_META, &attribute, XattrFlags::empty())?;
    let mode = if kind == REGULAR {
        u32::from(metadata.mode) & 0o775 | 0o400
    } else {
        0o644
    };
    temporary.file.set_permissions(fs::Permissions::from_mode(mode))?;
    publish(temporary, path)
}

fn publish(mut temporary: Temporary, path: &Path) -> io::Result<()> {
    match fs::rename(&temporary.path, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?; // the first object with these two digits
            }
            fs::rename(&temporary.path, path)?;
        }
        result => result?,
    }
    temporary.kept = true;
    Ok(())
}

/// Owner, mode, attributes and kind of the file object at `path`; none when they are malformed.
pub(super) fn metadata_of(path: &Path) -> io::Result<Option<(Metadata, u32)>> {
    let mut value = Vec::with_capacity(256);
    loop {
        match rustix::fs::getxattr(path, OSTREE_META, rustix::buffer::spare_capacity(&mut value)) {
            Err(rustix::io::Errno::RANGE) if value.capacity() < 1 << 16 => {
                value.reserve_exact(value.capacity() * 2);
            }
            result => {
                result?;
                return Ok(variant::parse_metadata(&value));
            }
        }
    }
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|source| write_error(path, source))
}

fn read_content(result: io::Result<usize>, name: &TreePath) -> Result<(), StoreError> {
    result.map(|_| ()).map_err(|source| StoreError::Content {
        path: name.clone(),
        source,
    })
}

fn write_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Write {
        path: path.to_owned(),
        source,
    }
}

fn damaged(checksum: &Checksum, reason: &str) -> StoreError {
    StoreError::Damaged {
        object: checksum.to_string(),
        reason: reason.to_owned(),
    }
}
