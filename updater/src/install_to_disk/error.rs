//! Why a disk didn't become a device.

use std::{
    io,
    path::{Path, PathBuf},
};

use outcrop_release::{fat::FatError, slot::Slot};

use crate::gpt::{GptError, GrowError};

/// Why a disk didn't become a device.
#[derive(Debug, thiserror::Error)]
pub enum ToDiskError {
    /// A disk or file.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The disk isn't one.
    #[error("{} is no whole disk: `lsblk` lists those that there are", .0.display())]
    NoDisk(PathBuf),
    /// It is the one that runs.
    #[error("{} is the disk that this system runs from", .0.display())]
    Itself(PathBuf),
    /// Nobody confirmed.
    #[error("everything on {} would be lost: say --yes if that is meant. Nothing was changed", .0.display())]
    Unconfirmed(PathBuf),
    /// Something uses it.
    #[error("{} is in use: something on it is mounted, or part of another device. Nothing was changed", .0.display())]
    InUse(PathBuf),
    /// What runs may not stay.
    #[error(
        "slot {0} is on trial, or isn't the default: wait for its commit, and try again. Nothing was changed"
    )]
    Unsettled(Slot),
    /// Sectors of another length.
    #[error(
        "the disk has sectors of {to} bytes, this one of {from}: partitions can't be copied between them. Nothing was changed"
    )]
    Sectors {
        /// This disk's.
        from: u32,
        /// The other's.
        to: u32,
    },
    /// This disk's table.
    #[error("read the partition table of {}", disk.display())]
    Read {
        /// The disk.
        disk: PathBuf,
        /// Why.
        source: GptError,
    },
    /// This disk isn't one of Outcrop's.
    #[error("this disk has no whole partition {0}")]
    Partition(&'static str),
    /// This disk's running slot has no tree.
    #[error("the running slot has no whole verity tree")]
    Tree,
    /// The other disk's table.
    #[error("plan the partition table of {}: is it as large as this one?", disk.display())]
    Table {
        /// The disk.
        disk: PathBuf,
        /// Why.
        source: GrowError,
    },
    /// What was written isn't what is there.
    #[error("{} doesn't keep what is written to it: at byte {at} it reads as something else", disk.display())]
    Medium {
        /// The disk.
        disk: PathBuf,
        /// Where.
        at: u64,
    },
    /// Partition 1 of the copy.
    #[error("put the configuration onto partition 1 of {}", disk.display())]
    Configuration {
        /// The disk.
        disk: PathBuf,
        /// Why.
        source: FatError,
    },
    /// The data partition's file system.
    #[error("make the data partition of {}: mke2fs says: {told}", disk.display())]
    Mke2fs {
        /// The disk.
        disk: PathBuf,
        /// Its words.
        told: String,
    },
    /// Random numbers.
    #[error("make random names for the disk and its partitions")]
    Random(#[source] io::Error),
    /// Somebody stopped it.
    #[error("stopped: {} doesn't start anything now", .0.display())]
    Stopped(PathBuf),
}

impl ToDiskError {
    pub(super) fn of<'p>(doing: &'static str, path: &'p Path) -> impl Fn(io::Error) -> Self + Copy + 'p {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}
