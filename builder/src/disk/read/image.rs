//! An image and its partitions.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::Diagnostic;
use outcrop_release::{
    arch::Architecture,
    board::Board,
    fat::{FatError, FatReader},
    partition::Partition,
    slot::Slot,
    verity::SuperblockError,
};

use crate::{
    boot::{partition::PartitionReadError, uki::UkiReadError},
    disk::gpt::{Entry, Gpt, GptError},
    failure::FailureClass,
    read_at::{FileSource, ReadAt, Window},
};

/// A file isn't a disk image that Outcrop made.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DiskReadError {
    /// It can't be read.
    #[error("read {path}")]
    Io {
        /// The image.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Its partition table can't be read.
    #[error("{path} has no partition table that can be read")]
    #[diagnostic(help("a disk image is a file NAME-VERSION-ARCH-BOARD.img that `outcrop build` made"))]
    Table {
        /// The image.
        path: PathBuf,
        /// The cause.
        source: GptError,
    },
    /// One of its partitions is missing, or isn't what its number says.
    #[error("{path}: partition {number} isn't {label}: this is no image of Outcrop")]
    Partition {
        /// The image.
        path: PathBuf,
        /// The number.
        number: u32,
        /// The label that it should have.
        label: &'static str,
    },
    /// Partition 1 can't be read.
    #[error("{path}: partition 1")]
    Esp {
        /// The image.
        path: PathBuf,
        /// The cause.
        source: FatError,
    },
    /// A slot has a verity superblock that can't be read.
    #[error("{path}: verity superblock of slot {slot}")]
    Verity {
        /// The image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
        /// The cause.
        source: SuperblockError,
    },
    /// A slot's boot payload is no UKI.
    #[error("{path}: boot payload of slot {slot}")]
    Uki {
        /// The image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
        /// The cause.
        source: UkiReadError,
    },
    /// A slot's boot partition isn't one.
    #[error("{path}: boot partition of slot {slot}")]
    BootPartition {
        /// The image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
        /// The cause.
        source: PartitionReadError,
    },
    /// A slot's boot payload lies in several pieces.
    #[error("{path}: the boot payload of slot {slot} doesn't lie in one piece")]
    Fragmented {
        /// The image.
        path: PathBuf,
        /// The slot.
        slot: Slot,
    },
}

impl DiskReadError {
    /// What the user can do about it.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        FailureClass::Input
    }
}

/// A disk image with Outcrop's partitions.
#[derive(Debug)]
pub struct DiskImage {
    pub(super) path: PathBuf,
    source: Arc<FileSource>,
    table: Gpt,
    architecture: Architecture,
}

impl DiskImage {
    /// Opens `path` and reads its partition table. Nothing is ever written.
    ///
    /// # Errors
    /// When it can't be read, or has other partitions than an image of Outcrop.
    pub fn open(path: &Path) -> Result<Self, DiskReadError> {
        let failed = |source| DiskReadError::Io {
            path: path.to_owned(),
            source,
        };
        let source = FileSource::new(File::open(path).map_err(failed)?).map_err(failed)?;
        let table = Gpt::read(&source).map_err(|source| DiskReadError::Table {
            path: path.to_owned(),
            source,
        })?;
        let root_type = table
            .entry(Partition::Root(Slot::A).number())
            .map(|entry| entry.type_guid);
        let architecture = Architecture::ALL
            .into_iter()
            .find(|arch| Some(arch.root_type()) == root_type);
        let image = Self {
            path: path.to_owned(),
            source: Arc::new(source),
            table,
            architecture: architecture.ok_or_else(|| wrong(path, Partition::Root(Slot::A)))?,
        };
        Partition::of(image.board()).try_for_each(|partition| image.entry(partition).map(|_| ()))?;
        Ok(image)
    }

    /// What it runs on, as the partitions' types say.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// What starts it, as the partitions say.
    #[must_use]
    pub fn board(&self) -> Board {
        match self.table.entry(Partition::Boot(Slot::A).number()) {
            Some(_) => Board::Rpi,
            None => Board::Efi,
        }
    }

    /// Its length, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.source.len()
    }

    /// Whether it has no bytes, which can't be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The partition table.
    #[must_use]
    pub const fn table(&self) -> &Gpt {
        &self.table
    }

    /// The bytes of a partition.
    ///
    /// # Errors
    /// When it isn't there, or cut off.
    pub fn partition(&self, partition: Partition) -> Result<Window<Arc<FileSource>>, DiskReadError> {
        let extent = self.entry(partition)?.extent;
        Window::new(Arc::clone(&self.source), extent.start, extent.len).map_err(|source| self.failed(source))
    }

    /// The file system of partition 1.
    ///
    /// # Errors
    /// When it isn't FAT32.
    pub fn esp(&self) -> Result<FatReader<Window<Arc<FileSource>>>, DiskReadError> {
        FatReader::open(self.partition(Partition::Esp)?).map_err(|source| self.bad_esp(source))
    }

    fn entry(&self, partition: Partition) -> Result<&Entry, DiskReadError> {
        let entry = self.table.entry(partition.number());
        let right = |entry: &&Entry| {
            entry.label == partition.label() && entry.type_guid == partition.type_guid(self.architecture)
        };
        entry.filter(right).ok_or_else(|| wrong(&self.path, partition))
    }

    pub(super) fn failed(&self, source: io::Error) -> DiskReadError {
        DiskReadError::Io {
            path: self.path.clone(),
            source,
        }
    }

    pub(super) fn bad_esp(&self, source: FatError) -> DiskReadError {
        DiskReadError::Esp {
            path: self.path.clone(),
            source,
        }
    }
}

fn wrong(path: &Path, partition: Partition) -> DiskReadError {
    DiskReadError::Partition {
        path: path.to_owned(),
        number: partition.number(),
        label: partition.label(),
    }
}
