//! Files below a folder that somebody else has filled, such as a stick's: pipes that nobody writes to, links that lead elsewhere.

use std::{
    fs::File,
    io,
    path::{Component, Path},
};

use rustix::{
    fs::{Mode, OFlags, open, openat},
    io::Errno,
};

/// Opens the file `name` below `folder` to be read. No symbolic link is followed on the way from there, and nobody is waited for.
///
/// # Errors
/// When it can't be opened, or is anything but a regular file.
pub fn open_file(folder: &Path, name: &Path) -> io::Result<File> {
    let to_folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = open(folder, to_folder, Mode::empty())?;
    let mut parts = name.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(part) = part else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it leads out of its folder",
            ));
        };
        if parts.peek().is_none() {
            let file = openat(&at, part, file_flags() | OFlags::NOFOLLOW, Mode::empty());
            return regular(file.map_err(told)?.into());
        }
        at = openat(&at, part, to_folder | OFlags::NOFOLLOW, Mode::empty()).map_err(told)?;
    }
    Err(io::ErrorKind::IsADirectory.into())
}

/// Opens a file that somebody has named: by a symbolic link, too.
///
/// # Errors
/// As [`open_file`].
pub fn open_named(path: &Path) -> io::Result<File> {
    regular(open(path, file_flags(), Mode::empty())?.into())
}

/// A pipe's reader waits for its writer otherwise.
const fn file_flags() -> OFlags {
    OFlags::RDONLY
        .union(OFlags::NONBLOCK)
        .union(OFlags::NOCTTY)
        .union(OFlags::CLOEXEC)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is no regular file",
    ))
}

fn told(errno: Errno) -> io::Error {
    match errno {
        Errno::LOOP => io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a symbolic link, and none is followed there",
        ),
        other => other.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs, io::Read as _, os::unix::fs::symlink};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    /// A pipe that nobody writes to.
    pub(crate) fn pipe(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    #[test]
    fn a_file_is_read_below_its_folder_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let (stick, outside) = (root.path().join("stick"), root.path().join("outside"));
        fs::create_dir_all(stick.join("releases")).unwrap();
        fs::create_dir_all(outside.join("releases")).unwrap();
        for path in [stick.join("releases/file"), outside.join("releases/file")] {
            fs::write(path, "text").unwrap();
        }
        let open = |name: &str| open_file(&stick, Path::new(name));
        let mut text = String::new();
        open("releases/file").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");

        symlink(outside.join("releases/file"), stick.join("link")).unwrap();
        symlink("releases/file", stick.join("near")).unwrap();
        symlink(&outside, stick.join("elsewhere")).unwrap();
        pipe(&stick.join("pipe"));
        for name in [
            "link",
            "near",
            "elsewhere/releases/file",
            "../outside/releases/file",
            "/etc/hostname",
            "pipe",
            "releases",
            "",
            "missing",
        ] {
            assert!(open(name).is_err(), "{name}");
        }
        assert!(open("near").unwrap_err().to_string().contains("symbolic link"));
    }

    #[test]
    fn what_somebody_names_may_be_a_link_and_must_be_a_file() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "text").unwrap();
        symlink("file", root.path().join("link")).unwrap();
        pipe(&root.path().join("pipe"));
        let open = |name: &str| open_named(&root.path().join(name));
        assert!(open("file").is_ok() && open("link").is_ok());
        assert!(open("pipe").is_err() && open("").is_err());
    }
}
