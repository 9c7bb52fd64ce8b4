//! Why an image can't be read.

use std::{
    io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;

use crate::{
    disk::read::DiskReadError, erofs::ReadError, failure::FailureClass, finish::DPKG_STATUS,
    progress::Cancelled, tree::TreePath,
};

/// An image that can't be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ImageError {
    /// Its partitions.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Disk(#[from] DiskReadError),
    /// What is in slot A.
    #[error("read the release in slot a of {}", path.display())]
    Release {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Fault>,
    },
}

/// What is wrong with a release in an image.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no boot payload.
    #[error("there is no boot payload")]
    NoPayload,
    /// The root file system is damaged.
    #[error("read the root file system")]
    Root(#[from] ReadError),
    /// A file in it can't be read.
    #[error("read a file of the root file system")]
    File(#[from] io::Error),
    /// A device, pipe or socket: Outcrop makes none.
    #[error("{0} in the root file system is a device, pipe or socket")]
    Special(TreePath),
    /// The package database can't be understood.
    #[error("the package database /{DPKG_STATUS} is missing or malformed")]
    Status,
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Fault {
    /// The error about the image at `path`.
    #[must_use]
    pub fn of(self, path: &Path) -> ImageError {
        ImageError::Release {
            path: path.to_owned(),
            source: Box::new(self),
        }
    }
}

impl ImageError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Disk(error) => error.class(),
            Self::Release { source, .. } => match &**source {
                Fault::Root(source) => source.class(),
                Fault::File(source) => FailureClass::of_io(source),
                Fault::Cancelled(_) => FailureClass::Interrupted,
                Fault::NoPayload | Fault::Special(_) | Fault::Status => FailureClass::Input,
            },
        }
    }
}
