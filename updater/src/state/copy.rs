//! Copies of files and folders that are the same in everything a program can ask for: owner, mode, times, extended attributes, hard
//! links, holes.

use std::{
    collections::HashMap,
    ffi::CString,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, SeekFrom, Timespec, Timestamps, Uid, chownat, lgetxattr,
        llistxattr, lsetxattr, mknodat, seek, utimensat,
    },
    io::Errno,
};

/// Bytes of one block of `st_blocks`. Source: `stat(3type)`.
const STAT_BLOCK_BYTES: u64 = 512;
/// Longest extended attribute. Source: Linux, `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`.
const ATTRIBUTE_BYTES: usize = 64 << 10;

/// A copy that failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}", path.display())]
pub struct CopyError {
    /// What was being done.
    pub doing: &'static str,
    /// To what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    move |source| CopyError {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// What a tree takes on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Bytes that are allocated.
    pub bytes: u64,
    /// Files, folders and whatever else has a name.
    pub entries: u64,
}

/// What `path` and all that is in it take; nothing when it isn't there.
///
/// # Errors
/// When something can't be looked at.
pub(super) fn size(path: &Path) -> Result<Size, CopyError> {
    let mut size = Size::default();
    let Some(top) = look(path)? else { return Ok(size) };
    let mut waiting = vec![(path.to_owned(), top)];
    while let Some((path, metadata)) = waiting.pop() {
        size.bytes += metadata.blocks() * STAT_BLOCK_BYTES;
        size.entries += 1;
        if metadata.is_dir() {
            for child in children(&path)? {
                waiting.extend(look(&child)?.map(|metadata| (child, metadata)));
            }
        }
    }
    Ok(size)
}

/// What is at `path`, not followed; none when nothing is.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>, CopyError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, CopyError> {
    let read = || {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
    };
    read().map_err(failed("list", folder))
}

/// Copies `from` to `to`, which isn't there yet. Nothing is flushed.
///
/// # Errors
/// When something can't be read or written, or another file system is mounted in it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), CopyError> {
    let metadata = fs::symlink_metadata(from).map_err(failed("look at", from))?;
    let mut copier = Copier {
        device: metadata.dev(),
        linked: HashMap::new(),
    };
    copier.entry(from, to, &metadata)
}

struct Copier {
    /// The file system that is copied.
    device: u64,
    /// Copies of files with several names, by inode.
    linked: HashMap<u64, PathBuf>,
}

impl Copier {
    fn entry(&mut self, from: &Path, to: &Path, metadata: &Metadata) -> Result<(), CopyError> {
        if metadata.dev() != self.device {
            let mounted = io::Error::other("another file system is mounted there");
            return Err(failed("copy", from)(mounted));
        }
        if !metadata.is_dir() && metadata.nlink() > 1 {
            if let Some(first) = self.linked.get(&metadata.ino()) {
                return fs::hard_link(first, to).map_err(failed("link", to));
            }
            self.linked.insert(metadata.ino(), to.to_owned());
        }
        let kind = metadata.file_type();
        if kind.is_dir() {
            fs::create_dir(to).map_err(failed("make folder", to))?;
            for child in children(from)? {
                let name = child.file_name().unwrap_or_default();
                let metadata = fs::symlink_metadata(&child).map_err(failed("look at", &child))?;
                self.entry(&child, &to.join(name), &metadata)?;
            }
        } else if kind.is_file() {
            content(from, to, metadata).map_err(failed("copy", from))?;
        } else if kind.is_symlink() {
            fs::read_link(from)
                .and_then(|target| symlink(target, to))
                .map_err(failed("copy", from))?;
        } else {
            let kind = if kind.is_fifo() {
                FileType::Fifo
            } else if kind.is_socket() {
                FileType::Socket
            } else if kind.is_block_device() {
                FileType::BlockDevice
            } else {
                FileType::CharacterDevice
            };
            mknodat(CWD, to, kind, Mode::RUSR, metadata.rdev())
                .map_err(|errno| failed("make", to)(errno.into()))?;
        }
        // What was in a folder is there now: its time and mode are set last.
        attributes(from, to, metadata).map_err(failed("set the attributes of", to))
    }
}

/// The bytes of a file; holes stay holes.
fn content(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    let source = File::open(from)?;
    let target = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    let length = metadata.len();
    if metadata.blocks() * STAT_BLOCK_BYTES >= length {
        io::copy(&mut &source, &mut &target)?;
        return Ok(());
    }
    let mut at = 0;
    while at < length {
        let begin = match seek(&source, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(&source, SeekFrom::Hole(begin))?;
        seek(&source, SeekFrom::Start(begin))?;
        seek(&target, SeekFrom::Start(begin))?;
        io::copy(&mut io::Read::take(&source, end - begin), &mut &target)?;
        at = end;
    }
    target.set_len(length)
}

/// Owner, extended attributes, mode and times: in this order, as a new owner takes setuid away.
fn attributes(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    chownat(
        CWD,
        to,
        Some(Uid::from_raw(metadata.uid())),
        Some(Gid::from_raw(metadata.gid())),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    let mut names = vec![0; ATTRIBUTE_BYTES];
    let names = match llistxattr(from, &mut names) {
        Ok(length) => &names[..length],
        Err(Errno::NOTSUP) => &[],
        Err(errno) => return Err(errno.into()),
    };
    let mut value = vec![0; ATTRIBUTE_BYTES];
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = CString::new(name)?;
        let length = lgetxattr(from, &name, &mut value)?;
        lsetxattr(to, &name, &value[..length], rustix::fs::XattrFlags::empty())?;
    }
    if !metadata.file_type().is_symlink() {
        fs::set_permissions(to, metadata.permissions())?;
    }
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Flushes the whole file system that `folder` is on: once, after any number of files.
///
/// # Errors
/// When it fails.
pub(super) fn flush_all(folder: &Path) -> Result<(), CopyError> {
    File::open(folder)
        .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
        .map_err(failed("flush the file system of", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn inode(path: &Path) -> u64 {
        fs::symlink_metadata(path).unwrap().ino()
    }

    #[test]
    fn a_copy_has_content_modes_times_links_holes_and_attributes_of_its_original() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        let sub = from.join("sub");
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join("file"), "hello").unwrap();
        fs::hard_link(sub.join("file"), from.join("twin")).unwrap();
        symlink("../nowhere", sub.join("link")).unwrap();
        mknodat(CWD, sub.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(sub.join("socket")).unwrap();
        let sparse = File::create(from.join("sparse")).unwrap();
        sparse.set_len(10 << 20).unwrap();
        seek(&sparse, SeekFrom::Start(5 << 20)).unwrap();
        io::Write::write_all(&mut &sparse, b"middle").unwrap();
        fs::set_permissions(sub.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
        let has_attributes = lsetxattr(
            sub.join("file"),
            c"user.colour",
            b"red",
            rustix::fs::XattrFlags::empty(),
        )
        .is_ok();
        fs::set_permissions(&sub, fs::Permissions::from_mode(0o500)).unwrap();

        let to = folder.path().join("to");
        copy(&from, &to).unwrap();
        for name in [
            "",
            "sub",
            "sub/file",
            "sub/link",
            "sub/fifo",
            "sub/socket",
            "sparse",
            "twin",
        ] {
            let look = |top: &Path| fs::symlink_metadata(top.join(name)).unwrap();
            let (one, other) = (look(&from), look(&to));
            assert_eq!(one.file_type(), other.file_type(), "{name}");
            assert_eq!(
                (one.mode(), one.uid(), one.mtime(), one.mtime_nsec()),
                (other.mode(), other.uid(), other.mtime(), other.mtime_nsec()),
                "{name}"
            );
        }
        assert_eq!(fs::read(to.join("sub/file")).unwrap(), b"hello");
        assert_eq!(
            fs::read(to.join("sparse")).unwrap(),
            fs::read(from.join("sparse")).unwrap()
        );
        assert!(fs::metadata(to.join("sparse")).unwrap().blocks() * STAT_BLOCK_BYTES < 1 << 20);
        assert_eq!(inode(&to.join("sub/file")), inode(&to.join("twin")));
        assert_eq!(
            fs::read_link(to.join("sub/link")).unwrap(),
            Path::new("../nowhere")
        );
        assert!(has_attributes, "this file system keeps extended attributes");
        let mut value = [0; 8];
        let length = lgetxattr(to.join("sub/file"), c"user.colour", &mut value).unwrap();
        assert_eq!(&value[..length], b"red");
        fs::set_permissions(&sub, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(to.join("sub"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn what_a_tree_takes_is_what_is_allocated() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(size(&path("absent")).unwrap(), Size::default());
        fs::write(path("data"), vec![1; 100 << 10]).unwrap();
        File::create(path("hole")).unwrap().set_len(1 << 30).unwrap();
        flush_all(folder.path()).unwrap();
        let size = size(folder.path()).unwrap();
        assert_eq!(size.entries, 3);
        assert!((100 << 10..1 << 20).contains(&size.bytes), "{size:?}");
    }

    #[test]
    fn what_cant_be_copied_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(copy(&path("absent"), &path("to")).is_err());
        fs::write(path("file"), "").unwrap();
        fs::write(path("to"), "").unwrap();
        let error = copy(&path("file"), &path("to")).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
