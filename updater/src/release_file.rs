//! Files in which the running release says how it is to be dealt with.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

/// What the running release says can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseFileError {
    /// A file can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("understand {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What the file at `path` below `root` says; none when it isn't there.
///
/// # Errors
/// When it is there and can't be read, or `parse` doesn't understand it.
pub fn read<T, E: Error + Send + Sync + 'static>(
    root: &Path,
    path: &str,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<Option<T>, ReleaseFileError> {
    let path = root.join(path);
    match fs::read(&path) {
        Ok(bytes) => parse(&bytes)
            .map(Some)
            .map_err(|error| ReleaseFileError::Content {
                path,
                source: Box::new(error),
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReleaseFileError::Read { path, source }),
    }
}
