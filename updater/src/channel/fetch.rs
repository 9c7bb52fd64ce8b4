//! Where lists come from.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use outcrop_release::channel::{ChannelName, MAX_CHANNEL_BYTES};

use crate::beneath;

/// What a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// What it had the last time.
    Same,
    /// A list, and what names this version of it, if anything does.
    List {
        /// Its bytes: nobody has looked at them.
        bytes: Vec<u8>,
        /// `ETag`
        tag: Option<String>,
    },
}

/// Why no list came.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error("ask {url}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why there is none.
        source: io::Error,
    },
    /// An answer that isn't one.
    #[error("{url} answers with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// A redirect to another host, or away from TLS.
    #[error("{url} redirects to {to}, which isn't where this device's releases come from")]
    Redirected {
        /// What was asked for.
        url: String,
        /// Where it leads.
        to: String,
    },
    /// Redirects without end.
    #[error("{0} redirects for ever")]
    Circle(String),
    /// A web page: a network that wants a login first, or a server's error.
    #[error("{0} gives a web page, not a channel: the network may want a login first")]
    WebPage(String),
    /// More than any list has.
    #[error("{0} gives more than {MAX_CHANNEL_BYTES} bytes: that is no channel")]
    TooLong(String),
    /// A file.
    #[error("read {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why it can't be read.
        source: io::Error,
    },
}

/// Has channels' lists.
pub trait ListSource {
    /// The list of a channel; `tag` names the version that is known.
    ///
    /// # Errors
    /// See [`FetchError`].
    fn fetch(&mut self, channel: &ChannelName, tag: Option<&str>) -> Result<Fetched, FetchError>;
}

/// A publish tree in a folder: a stick's.
#[derive(Debug, Clone)]
pub struct FolderSource {
    folder: PathBuf,
}

impl FolderSource {
    /// The tree in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }
}

impl ListSource for FolderSource {
    fn fetch(&mut self, channel: &ChannelName, _: Option<&str>) -> Result<Fetched, FetchError> {
        let path = self.folder.join(channel.file_name());
        let read = || -> io::Result<Vec<u8>> {
            let file = beneath::open_file(&self.folder, Path::new(&channel.file_name()))?;
            let mut bytes = Vec::new();
            file.take(MAX_CHANNEL_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) if bytes.len() > MAX_CHANNEL_BYTES => {
                Err(FetchError::TooLong(path.display().to_string()))
            }
            Ok(bytes) => Ok(Fetched::List { bytes, tag: None }),
            Err(source) => Err(FetchError::File { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_list_on_a_stick_that_is_a_pipe_or_a_link_is_told_and_nobody_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let stick = root.path().join("stick");
        fs::create_dir(&stick).unwrap();
        let list = stick.join("stable.channel");
        let fetch = || FolderSource::new(&stick).fetch(&"stable".parse().unwrap(), None);
        beneath::tests::pipe(&list);
        let error = fetch().unwrap_err();
        assert!(
            matches!(&error, FetchError::File { path, .. } if *path == list),
            "{error}"
        );
        fs::remove_file(&list).unwrap();
        fs::write(root.path().join("other"), "list").unwrap();
        symlink("../other", &list).unwrap();
        assert!(matches!(fetch(), Err(FetchError::File { .. })));
        fs::remove_file(&list).unwrap();
        fs::write(&list, "list").unwrap();
        assert!(matches!(fetch(), Ok(Fetched::List { bytes, .. }) if bytes == b"list"));
    }
}
