//! Members of the initramfs, and the archive that they make.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write},
};

use miette::Diagnostic;

use super::newc::{self, Header, TRAILER};
use crate::{failure::FailureClass, tree::content::Content};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// What an initramfs holds. Everything belongs to root and has time 0; the order in which members are added doesn't
/// matter. Folders that nobody adds get mode 0755.
#[derive(Debug, Clone, Default)]
pub struct Initramfs {
    members: BTreeMap<String, Member>,
}

#[derive(Debug, Clone)]
struct Member {
    mode: u32,
    device: (u32, u32),
    content: Content,
}

/// The initramfs can't be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum InitramfsError {
    /// A path that no archive should have.
    #[error("{0:?} is no path in an initramfs: no leading slash, no empty, `.` or `..` part, no zero byte")]
    Path(String),
    /// Two members with one path.
    #[error("initramfs: two members are called {0}")]
    Duplicate(String),
    /// A path whose parent is a file.
    #[error("initramfs: {0} would lie in something that is no folder")]
    Parent(String),
    /// More than cpio's 32-bit length can say.
    #[error("initramfs: {path} has {len} bytes, the format ends at 4 GiB")]
    TooLong {
        /// Member.
        path: String,
        /// Its length in bytes.
        len: u64,
    },
    /// A member's content can't be read, or isn't as long as it was.
    #[error("initramfs: read the content of {path}")]
    Content {
        /// Member.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The archive can't be written.
    #[error("initramfs: write the archive")]
    Write(#[source] io::Error),
}

impl InitramfsError {
    /// What the user can do about it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Content { source, .. } | Self::Write(source) => FailureClass::of_io(source),
            _ => FailureClass::Other,
        }
    }
}

impl Initramfs {
    /// An archive without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder with the permission bits `mode`.
    ///
    /// # Errors
    /// When the path is no good or taken.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<(), InitramfsError> {
        self.add(path, DIRECTORY | mode, Content::from(""))
    }

    /// Adds a file with the permission bits `mode`.
    ///
    /// # Errors
    /// When the path is no good or taken.
    pub fn file(&mut self, path: &str, mode: u32, content: Content) -> Result<(), InitramfsError> {
        self.add(path, REGULAR | mode, content)
    }

    /// Adds a symbolic link to `target`.
    ///
    /// # Errors
    /// When the path is no good or taken.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), InitramfsError> {
        self.add(path, SYMLINK | 0o777, Content::from(target))
    }

    /// Adds a character device with the permission bits `mode`. The kernel opens `dev/console` (5, 1) before it
    /// starts `/init`.
    ///
    /// # Errors
    /// When the path is no good or taken.
    pub fn character_device(
        &mut self,
        path: &str,
        mode: u32,
        (major, minor): (u32, u32),
    ) -> Result<(), InitramfsError> {
        self.add(path, CHARACTER_DEVICE | mode, Content::from(""))?;
        if let Some(member) = self.members.get_mut(path) {
            member.device = (major, minor);
        }
        Ok(())
    }

    /// Length of all content together, in bytes.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.members.values().map(|member| member.content.len()).sum()
    }

    fn add(&mut self, path: &str, mode: u32, content: Content) -> Result<(), InitramfsError> {
        let part_is_good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(part_is_good) || path == TRAILER {
            return Err(InitramfsError::Path(path.to_owned()));
        }
        if u32::try_from(content.len()).is_err() {
            return Err(InitramfsError::TooLong {
                path: path.to_owned(),
                len: content.len(),
            });
        }
        let member = Member {
            mode,
            device: (0, 0),
            content,
        };
        match self.members.insert(path.to_owned(), member) {
            None => Ok(()),
            Some(_) => Err(InitramfsError::Duplicate(path.to_owned())),
        }
    }

    /// All members with the folders that nobody added, parents before children.
    fn with_parents(&self) -> Result<BTreeMap<String, Member>, InitramfsError> {
        let mut all = self.members.clone();
        for path in self.members.keys() {
            for (end, _) in path.match_indices('/') {
                let folder = Member {
                    mode: DIRECTORY | 0o755,
                    device: (0, 0),
                    content: Content::from(""),
                };
                let parent = all.entry(path[..end].to_owned()).or_insert(folder);
                if parent.mode & 0o170_000 != DIRECTORY {
                    return Err(InitramfsError::Parent(path.clone()));
                }
            }
        }
        Ok(all)
    }

    /// Writes the plain archive.
    ///
    /// # Errors
    /// When a member can't be read, or `out` can't be written.
    pub fn write(&self, out: &mut impl Write) -> Result<(), InitramfsError> {
        for ((path, member), inode) in self.with_parents()?.iter().zip(1..) {
            write_member(path, member, inode, out)?;
        }
        let trailer = Header {
            name: TRAILER,
            inode: 0,
            mode: 0,
            len: 0,
            device: (0, 0),
        };
        trailer.write(out).map_err(InitramfsError::Write)
    }

    /// The archive, as the kernel takes it.
    ///
    /// It isn't compressed: what a release changes in it stays small then, and is found by who makes a delta (docs/adr/0016).
    ///
    /// # Errors
    /// When a member can't be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, InitramfsError> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }
}

/// Writes one entry with its content.
fn write_member(path: &str, member: &Member, inode: u32, out: &mut impl Write) -> Result<(), InitramfsError> {
    let too_long = |_| InitramfsError::TooLong {
        path: path.to_owned(),
        len: member.content.len(),
    };
    let unreadable = |source| InitramfsError::Content {
        path: path.to_owned(),
        source,
    };
    let len = u32::try_from(member.content.len()).map_err(too_long)?;
    let header = Header {
        name: path,
        inode,
        mode: member.mode,
        len,
        device: member.device,
    };
    header.write(out).map_err(InitramfsError::Write)?;
    let mut content = member.content.open().map_err(unreadable)?.take(u64::from(len));
    let mut buffer = vec![0; 64 * 1024];
    let mut left = u64::from(len);
    while left > 0 {
        let count = content.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            return Err(unreadable(io::ErrorKind::UnexpectedEof.into()));
        }
        left -= count as u64;
        out.write_all(&buffer[..count]).map_err(InitramfsError::Write)?;
    }
    newc::pad(out, (len % 4) as usize).map_err(InitramfsError::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Initramfs {
        let mut archive = Initramfs::new();
        archive
            .file("usr/lib/modules/x.ko", 0o644, Content::from(vec![3; 70_001]))
            .unwrap();
        archive
            .file("init", 0o755, Content::from("#!/bin/true\n"))
            .unwrap();
        archive.symlink("lib", "usr/lib").unwrap();
        archive.character_device("dev/console", 0o600, (5, 1)).unwrap();
        archive
    }

    fn plain(archive: &Initramfs) -> Vec<u8> {
        archive.to_bytes().unwrap()
    }

    #[test]
    fn the_order_of_adding_doesnt_matter() {
        let mut other = Initramfs::new();
        other.character_device("dev/console", 0o600, (5, 1)).unwrap();
        other.symlink("lib", "usr/lib").unwrap();
        other.file("init", 0o755, Content::from("#!/bin/true\n")).unwrap();
        other
            .file("usr/lib/modules/x.ko", 0o644, Content::from(vec![3; 70_001]))
            .unwrap();
        assert!(plain(&other) == plain(&sample()));
    }

    #[test]
    fn parents_come_before_their_children() {
        let paths: Vec<String> = sample().with_parents().unwrap().into_keys().collect();
        let expected = [
            "dev",
            "dev/console",
            "init",
            "lib",
            "usr",
            "usr/lib",
            "usr/lib/modules",
            "usr/lib/modules/x.ko",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn paths_that_would_leave_the_archive_or_clash_are_refused() {
        let mut archive = sample();
        for path in ["", "/init", "a//b", "a/../b", "./a", "a/", "a\0b", TRAILER] {
            let error = archive.file(path, 0o644, Content::from("")).unwrap_err();
            assert!(matches!(error, InitramfsError::Path(_)), "{path:?}");
        }
        assert!(matches!(
            archive.directory("init", 0o755),
            Err(InitramfsError::Duplicate(_))
        ));
        archive.file("lib/x", 0o644, Content::from("")).unwrap();
        assert!(
            matches!(archive.write(&mut Vec::new()), Err(InitramfsError::Parent(path)) if path == "lib/x")
        );
    }
}
