//! What goes wrong in the tree store.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use ostree::glib;
use outcrop_release::digest::FileDigest;
use thiserror::Error;

use crate::{deb::DebError, failure::FailureClass, progress::Cancelled, tree::TreePath};

/// A failed operation of the tree store.
#[derive(Debug, Error, Diagnostic)]
pub enum StoreError {
    /// The folder, its lock or its housekeeping files can't be used.
    #[error("open the tree store {}", path.display())]
    #[diagnostic(help("the store needs a local, writable folder; --cache-dir names another"))]
    Open {
        /// The store, or the file of it that failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// libostree refused to create or open the repository.
    #[error("open the OSTree repository {}", path.display())]
    #[diagnostic(help(
        "the file system must offer user extended attributes; --cache-dir names another folder"
    ))]
    Repository {
        /// The repository.
        path: PathBuf,
        /// Why.
        source: glib::Error,
    },
    /// Another process uses the store, and the operation needs it alone.
    #[error("use the tree store {} alone: another process has it open", path.display())]
    #[diagnostic(help("wait until running builds end, then try again"))]
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// An object can't be written.
    #[error("write an object to the tree store {}", path.display())]
    #[diagnostic(help(
        "the cache needs some gigabytes in a folder that you may write to: free space there (`outcrop cache --prune`), or \
         name another cache with --cache-dir"
    ))]
    Write {
        /// The store, or the file that failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content to store can't be read.
    #[error("read the content of {path} to store it")]
    Content {
        /// Which entry.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// libostree failed to write or read a commit or a reference.
    #[error("{doing} `{reference}` in the tree store")]
    #[diagnostic(help("the store may be damaged; it is only a cache: remove its folder and build again"))]
    Commit {
        /// `commit`, `load`, `list`.
        doing: &'static str,
        /// The reference or commit.
        reference: String,
        /// Why.
        source: glib::Error,
    },
    /// Something that was stored is gone or isn't what it was.
    #[error("read object {object} of the tree store: {reason}")]
    #[diagnostic(help("the store is damaged; it is only a cache: remove its folder and build again"))]
    Damaged {
        /// Which object or reference.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A package file isn't the one that the lock names.
    #[error("import {package}: the file {} has SHA-256 {found}, the lock says {locked}", path.display())]
    #[diagnostic(help("`outcrop cache --verify` removes damaged files; they are fetched again"))]
    Digest {
        /// Name and version.
        package: String,
        /// The cached file.
        path: PathBuf,
        /// What the lock says.
        locked: FileDigest,
        /// What the file has.
        found: FileDigest,
    },
    /// A package file can't be opened or read.
    #[error("import {package} from {}", path.display())]
    #[diagnostic(help(
        "is the file there, and may you read it? `outcrop cache --verify` removes damaged files; they are fetched again"
    ))]
    PackageFile {
        /// Name and version.
        package: String,
        /// The cached file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A package isn't well formed.
    #[error("import {package}")]
    #[diagnostic(forward(source))]
    Package {
        /// Name and version.
        package: String,
        /// Why.
        source: Box<DebError>,
    },
    /// A package's entries contradict each other.
    #[error("import {package}: {path} {reason}")]
    #[diagnostic(help("the package is malformed: report it to its maintainer"))]
    Entry {
        /// Name and version.
        package: String,
        /// Which entry.
        path: TreePath,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A step that derives content from an object failed.
    #[error("derive content from object {object}")]
    Derive {
        /// The input.
        object: String,
        /// Why.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl StoreError {
    /// What the user can do about it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Package { source, .. } => source.class(),
            Self::Entry { .. } | Self::Derive { .. } => FailureClass::Package,
            Self::Cancelled(_) => FailureClass::Interrupted,
            _ => FailureClass::Environment,
        }
    }
}
