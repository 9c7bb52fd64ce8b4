//! Why an image can't be read.

use std::io;

use miette::Diagnostic;

use crate::{failure::FailureClass, tree::TreePath};

/// Why an EROFS image, or a file in it, can't be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ReadError {
    /// The source failed.
    #[error("read {bytes} bytes at offset {offset} of the EROFS image")]
    Io {
        /// From the start of the image.
        offset: u64,
        /// How many were wanted.
        bytes: usize,
        /// The cause.
        source: io::Error,
    },
    /// No superblock.
    #[error("read the superblock: this is no EROFS image")]
    NotErofs,
    /// The superblock's checksum doesn't match.
    #[error("read the superblock: its checksum doesn't match, so it is damaged")]
    Checksum,
    /// The image uses incompatible features.
    #[error("read the superblock: the image uses features that are not read here ({0:#x})")]
    #[diagnostic(help("compressed, chunk-based and multi-device images are not supported"))]
    Features(u32),
    /// Another block size than 4096, or folders with another one.
    #[error(
        "read the superblock: blocks of 2^{0} bytes, or folders with blocks of their own size, are not read here"
    )]
    BlockSize(u8),
    /// Data on other devices.
    #[error("read the superblock: {0} more devices belong to the image")]
    ExtraDevices(u16),
    /// The image says that it is longer than it is.
    #[error("read the superblock: the image should have {expected} bytes and has {found}")]
    Truncated {
        /// Bytes by the superblock.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// An inode or what belongs to it is malformed.
    #[error("read inode {inode}: {fault}")]
    Malformed {
        /// Its number.
        inode: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// A file is larger than the caller wants to hold in memory.
    #[error("read {path}: it has {bytes} bytes, and at most {limit} are expected")]
    TooLong {
        /// The file.
        path: TreePath,
        /// Its length.
        bytes: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// A path that should be a regular file is missing, or something else.
    #[error("read {0}: there is no regular file of that name")]
    NoFile(TreePath),
}

/// What is wrong with an inode or what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Data, or the inode itself, lies outside the image.
    #[error("it or its data lies outside the image")]
    Outside,
    /// The inode says neither file, folder, link, device, pipe nor socket.
    #[error("mode {0:o} is no type of file")]
    Type(u16),
    /// A data layout that isn't read here: compressed or chunk-based.
    #[error("data layout {0} (compressed or chunk-based) is not read here")]
    Layout(u16),
    /// Reserved bits of the format field are set.
    #[error("format {0:#x} is unknown")]
    Format(u16),
    /// The inline tail crosses a block's border.
    #[error("its inline data crosses a block's border")]
    InlineTail,
    /// The attribute area is malformed, or a name isn't UTF-8, or appears twice.
    #[error("its attributes are malformed")]
    Attributes,
    /// A folder's block is malformed.
    #[error("its list of names is malformed")]
    Names,
    /// Names aren't sorted, or one appears twice.
    #[error("its names are not in order")]
    Order,
    /// `.` or `..` is missing or leads elsewhere.
    #[error("`.` or `..` is missing or wrong")]
    Dots,
    /// A name that no image of Outcrop has: empty, not UTF-8, with a slash or a control character, or too long a path.
    #[error("one of its names is not allowed")]
    Name,
    /// An entry claims another type than the inode has.
    #[error("its folder says that it is of another type")]
    EntryType,
    /// A folder is in two folders, or in itself.
    #[error("the folder has two parents")]
    TwoParents,
    /// The root isn't a folder.
    #[error("the root is no folder")]
    Root,
    /// A link's target is empty, too long, or not UTF-8.
    #[error("its link target is not allowed")]
    Target,
    /// Inodes and folders share so many bytes that the image must be made to waste time.
    #[error("the image refers to the same bytes too often")]
    Budget,
}

impl ReadError {
    /// What the user can do about it.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Io { .. } => FailureClass::Environment,
            _ => FailureClass::Input,
        }
    }
}
