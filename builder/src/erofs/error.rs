//! Why a tree can't become an image.

use std::io;

use miette::Diagnostic;

use super::xattr::XattrError;
use crate::{failure::FailureClass, progress::Cancelled, tree::TreePath};

/// Why a tree can't be planned or written as EROFS.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ErofsError {
    /// A volume name that the superblock can't hold.
    #[error("name the file system {0:?}: more than 16 bytes, or a NUL byte")]
    Label(String),
    /// Extended attributes that the format can't hold.
    #[error("plan the attributes of {path}")]
    Xattr {
        /// Whose attributes.
        path: TreePath,
        /// What is wrong with them.
        source: XattrError,
    },
    /// Names of one inode that disagree.
    #[error("plan {path}: it is a hard link to {first}, but has other content, owner, mode or attributes")]
    LinkMismatch {
        /// The later name.
        path: TreePath,
        /// The first name of the inode.
        first: TreePath,
    },
    /// A link's target is empty, longer than Linux follows, or has a NUL byte.
    #[error("plan {path}: a link target of {bytes} bytes is empty, has a NUL byte, or exceeds 4095")]
    Target {
        /// The link.
        path: TreePath,
        /// Length of its target.
        bytes: usize,
    },
    /// Block addresses have 32 bits.
    #[error("plan {path}: the image would exceed 16 TiB")]
    #[diagnostic(help("leave the file out of the image, and put it on the data partition"))]
    TooLarge {
        /// The file whose end has no address.
        path: TreePath,
    },
    /// A file's content can't be read.
    #[error("read the content of {path}")]
    Content {
        /// The path in the image.
        path: TreePath,
        /// The cause.
        source: io::Error,
    },
    /// A file's content isn't as long as planned.
    #[error("read the content of {path}: it hasn't the {planned} bytes it had when the image was planned")]
    #[diagnostic(help(
        "something else writes into the cache: end it, delete the cache folder's `store`, build again"
    ))]
    Changed {
        /// The path in the image.
        path: TreePath,
        /// Bytes that the plan counts on.
        planned: u64,
    },
    /// The older image can't be read.
    #[error("read the content of {path} in the previous release")]
    #[diagnostic(help("name another previous release, or leave out --previous"))]
    Previous {
        /// The path in the older image.
        path: TreePath,
        /// The cause.
        source: io::Error,
    },
    /// The image can't be written.
    #[error("write the EROFS image at offset {offset}")]
    #[diagnostic(help("is there space left in the output folder? --output names another"))]
    Output {
        /// Bytes written before.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error("write the EROFS image")]
    Cancelled(#[from] Cancelled),
}

impl ErofsError {
    /// What the user can do about it.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Label(_) | Self::TooLarge { .. } => FailureClass::Input,
            Self::Xattr { .. } | Self::LinkMismatch { .. } | Self::Target { .. } => FailureClass::Package,
            Self::Content { .. } | Self::Changed { .. } | Self::Previous { .. } | Self::Output { .. } => {
                FailureClass::Environment
            }
            Self::Cancelled(_) => FailureClass::Interrupted,
        }
    }
}
