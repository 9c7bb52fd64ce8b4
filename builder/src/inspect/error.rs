//! Why an image can't be read.

use std::{
    io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use outcrop_release::{partition::Partition, slot::Slot, verity};

use crate::{
    boot::uki::UkiReadError,
    disk::{fat::FatError, gpt::GptError},
    erofs::ReadError,
    failure::FailureClass,
    finish::DPKG_STATUS,
    progress::Cancelled,
    tree::TreePath,
};

/// An image that can't be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("read the image {}", path.display())]
#[diagnostic(help("disk images that `outcrop build` made are read, uncompressed"))]
pub struct ImageError {
    /// The image.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: Box<Fault>,
}

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It can't be read.
    #[error("read the file")]
    Io(#[from] io::Error),
    /// No partition table.
    #[error(transparent)]
    Gpt(#[from] GptError),
    /// A partition is missing.
    #[error("there is no partition {0}")]
    Partition(&'static str),
    /// Partition 1 is damaged.
    #[error("read partition {}", Partition::Esp.label())]
    Fat(#[from] FatError),
    /// There is no boot payload, or it is in pieces.
    #[error("the boot payload of slot {0} isn't there in one piece")]
    Payload(Slot),
    /// The boot payload is damaged.
    #[error("read the boot payload")]
    Uki(#[from] UkiReadError),
    /// The superblock of a verity partition is damaged.
    #[error("read partition {}", Partition::Verity(*.slot).label())]
    Verity {
        /// Whose.
        slot: Slot,
        /// The cause.
        source: verity::SuperblockError,
    },
    /// The root file system is damaged.
    #[error("read the root file system")]
    Root(#[from] ReadError),
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
        ImageError {
            path: path.to_owned(),
            source: Box::new(self),
        }
    }
}

impl ImageError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match &*self.source {
            Fault::Io(source) => FailureClass::of_io(source),
            Fault::Root(source) => source.class(),
            Fault::Cancelled(_) => FailureClass::Interrupted,
            _ => FailureClass::Input,
        }
    }
}
