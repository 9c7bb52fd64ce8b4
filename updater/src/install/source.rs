//! Where a bundle comes from: ranges of its bytes, streamed.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use outcrop_release::plan::ByteRange;

use crate::beneath;

/// Bytes that a file hands over at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// The bundle can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file.
    #[error("read the bundle {}", path.display())]
    File {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A web server.
    #[error("the web server gave nothing {tries} times in a row: {why}")]
    Server {
        /// How often it was asked.
        tries: u32,
        /// How the last try ended.
        why: String,
    },
    /// A web server that hasn't got the bundle, or doesn't give it.
    #[error("the web server answers {0}: is the address right?")]
    Status(u16),
    /// Something in between that wants people to look at it.
    #[error(
        "the web server gives a web page in the place of the bundle: does the network want a login, or is the address wrong?"
    )]
    WebPage,
    /// The bundle was replaced while it was read.
    #[error("the bundle on the web server was replaced while it was read: install it again")]
    Changed,
    /// It was asked to stop.
    #[error("interrupted: run the same installation again to go on")]
    Interrupted,
    /// What may be fetched now is fetched.
    #[error("{0} bytes were fetched, which is what may be fetched now: a later run goes on")]
    Spent(u64),
    /// The time to fetch is over.
    #[error("the time to fetch is over: a later run goes on")]
    Closed,
    /// Fewer bytes than were asked for.
    #[error("the bundle ends at byte {end}, bytes up to {wanted} were expected: it is cut off")]
    Short {
        /// Where it ends.
        end: u64,
        /// What was asked for.
        wanted: u64,
    },
}

/// Takes the bytes of a range piece by piece, in order. What it returns ends the reading.
pub type Take<'a, E> = &'a mut dyn FnMut(&[u8]) -> Result<(), E>;

/// A bundle somewhere.
pub trait Source {
    /// Says what will be read from now on: ranges, ascending. Some sources fetch several at a time.
    fn announce(&mut self, _ranges: &[ByteRange]) {}

    /// Hands the bytes of `range` over, in order; the same bytes never twice.
    ///
    /// # Errors
    /// When they can't be had, or `take` fails.
    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E>;
}

/// A bundle in a file: on a USB stick, or downloaded before.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    path: PathBuf,
}

impl FileSource {
    /// Opens a bundle that somebody has named.
    ///
    /// # Errors
    /// When it can't be opened, or is no regular file.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        Self::of(path, beneath::open_named(path))
    }

    /// Opens a file of a publish tree that somebody has brought, `TREE/releases/NAME`: no symbolic link is followed from `TREE` on.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn open_in_tree(path: &Path) -> Result<Self, SourceError> {
        let tree = path.parent().and_then(Path::parent);
        let opened = match tree.and_then(|tree| Some((tree, path.strip_prefix(tree).ok()?))) {
            Some((tree, name)) => beneath::open_file(tree, name),
            None => Err(io::ErrorKind::InvalidFilename.into()),
        };
        Self::of(path, opened)
    }

    fn of(path: &Path, opened: io::Result<File>) -> Result<Self, SourceError> {
        let path = path.to_owned();
        match opened {
            Ok(file) => Ok(Self { file, path }),
            Err(source) => Err(SourceError::File { path, source }),
        }
    }
}

impl Source for FileSource {
    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E> {
        let longest = usize::try_from(range.bytes()).map_or(PIECE_BYTES, |bytes| bytes.min(PIECE_BYTES));
        let mut buffer = vec![0; longest];
        let mut at = range.start;
        while at < range.end {
            let wanted = usize::try_from(range.end - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            let count = match self.file.read_at(piece, at) {
                Ok(0) => {
                    let short = SourceError::Short {
                        end: at,
                        wanted: range.end,
                    };
                    return Err(short.into());
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    let path = self.path.clone();
                    return Err(SourceError::File { path, source }.into());
                }
            };
            take(piece.get(..count).unwrap_or_default())?;
            at += count as u64;
        }
        Ok(())
    }
}

/// The bytes of a range, in memory: the caller has bounded it.
pub(super) fn fetch<E: From<SourceError>>(source: &mut impl Source, range: ByteRange) -> Result<Vec<u8>, E> {
    let mut bytes = Vec::new();
    source.read::<E>(range, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_bundle_on_a_stick_that_is_a_pipe_or_a_link_isn_t_opened_and_one_that_somebody_names_may_be_a_link() {
        let root = tempfile::tempdir().unwrap();
        let releases = root.path().join("stick/releases");
        fs::create_dir_all(&releases).unwrap();
        let path = |name: &str| releases.join(name);
        fs::write(root.path().join("file.outcrop"), "bundle").unwrap();
        fs::write(path("file.outcrop"), "bundle").unwrap();
        symlink("../../file.outcrop", path("link.outcrop")).unwrap();
        beneath::tests::pipe(&path("pipe.outcrop"));
        assert!(FileSource::open_in_tree(&path("file.outcrop")).is_ok());
        for name in ["link.outcrop", "pipe.outcrop", ".."] {
            let opened = FileSource::open_in_tree(&path(name));
            assert!(matches!(opened, Err(SourceError::File { .. })), "{name}");
        }
        assert!(FileSource::open(&path("link.outcrop")).is_ok());
        assert!(FileSource::open(&path("pipe.outcrop")).is_err());
        // The folder of releases itself leads elsewhere.
        let other = root.path().join("other");
        fs::create_dir(&other).unwrap();
        symlink(&releases, other.join("releases")).unwrap();
        assert!(FileSource::open_in_tree(&other.join("releases/file.outcrop")).is_err());
    }
}
