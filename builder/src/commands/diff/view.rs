//! What releases are compared by.

use std::collections::BTreeMap;

use crate::tree::{Metadata, TreePath};

/// One release, or what a lock says about one. Where it comes from is [`super::sources`]' business.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseView {
    /// What it is called in the output: `edge 0.1.0`, or a file's name.
    pub label: String,
    /// Packages with their versions.
    pub packages: BTreeMap<String, String>,
    /// Release of the kernel; none when unknown.
    pub kernel: Option<String>,
    /// Kernel command line, in order; none when unknown.
    pub command_line: Option<Vec<String>>,
    /// Bytes by name: `root`, `download`, ...
    pub sizes: BTreeMap<String, u64>,
    /// The root file system; none for a lock.
    pub files: Option<BTreeMap<TreePath, FileFacts>>,
}

/// What is compared of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// What it is and holds.
    pub kind: FileKind,
    /// Owner, permissions, attributes.
    pub metadata: Metadata,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A folder.
    Directory,
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Says whether two files are equal: see [`Identity`].
        identity: String,
    },
    /// A symbolic link with its target.
    Symlink(String),
}

/// By what two files' contents are compared. Both sides of a comparison use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The tree store's object: nothing is read.
    Object,
    /// SHA-256 of the content.
    Content,
}

impl FileFacts {
    /// Length of a file's content; 0 for everything else.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self.kind {
            FileKind::File { size, .. } => size,
            FileKind::Directory | FileKind::Symlink(_) => 0,
        }
    }
}
