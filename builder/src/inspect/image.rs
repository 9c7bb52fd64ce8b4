//! A disk image, opened: its partitions, boot payloads and root file systems.

use std::{fs::File, path::Path, sync::Arc};

use outcrop_release::{
    digest::RootHash,
    partition::Partition,
    slot::Slot,
    verity::{BLOCK_BYTES, SUPERBLOCK_BYTES, Superblock, TOP_BLOCK_OFFSET, root_hash_of_top_block},
};

use super::error::{Fault, ImageError};
use crate::{
    boot::uki::UkiFacts,
    disk::{
        fat::FatReader,
        gpt::{Entry, Gpt},
    },
    erofs::Reader,
    read_at::{FileSource, ReadAt, Window},
};

/// A part of an image.
pub type Part = Window<Arc<FileSource>>;

/// A disk image.
#[derive(Debug)]
pub struct DiskImage {
    file: Arc<FileSource>,
    table: Gpt,
}

/// A slot's hash tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verity {
    /// What its superblock says.
    pub superblock: Superblock,
    /// What its top block hashes to.
    pub root_hash: RootHash,
}

/// A slot's boot payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What it says about itself.
    pub uki: UkiFacts,
    /// Length of its place, in bytes.
    pub slot_bytes: u64,
}

impl DiskImage {
    /// Opens the image at `path` and reads its partition table.
    ///
    /// # Errors
    /// When it can't be read, or has no partition table of Outcrop's.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let open = || {
            let file = Arc::new(FileSource::new(File::open(path)?)?);
            let table = Gpt::read(&file)?;
            Ok(Self { file, table })
        };
        open().map_err(|fault: Fault| fault.of(path))
    }

    /// The partition table.
    #[must_use]
    pub const fn table(&self) -> &Gpt {
        &self.table
    }

    /// Length of the image in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.len()
    }

    /// The table's entry of `partition`.
    ///
    /// # Errors
    /// When there is none.
    pub fn entry(&self, partition: Partition) -> Result<&Entry, Fault> {
        let label = partition.label();
        let found = self.table.entries.iter().find(|entry| entry.label == label);
        found.ok_or(Fault::Partition(label))
    }

    /// The bytes of `partition`.
    ///
    /// # Errors
    /// When there is none.
    pub fn part(&self, partition: Partition) -> Result<Part, Fault> {
        let extent = self.entry(partition)?.extent;
        Ok(Window::new(Arc::clone(&self.file), extent.start, extent.len)?)
    }

    /// The root file system of `slot`.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn root(&self, slot: Slot) -> Result<Reader<Part>, Fault> {
        Ok(Reader::open(self.part(Partition::Root(slot))?)?)
    }

    /// The hash tree of `slot`; none when the slot is empty. Only its top is looked at.
    ///
    /// # Errors
    /// When the tree is damaged.
    pub fn verity(&self, slot: Slot) -> Result<Option<Verity>, Fault> {
        let part = self.part(Partition::Verity(slot))?;
        let mut head = [0; SUPERBLOCK_BYTES];
        part.read_exact_at(&mut head, 0)?;
        if head.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let superblock = Superblock::parse(&head).map_err(|source| Fault::Verity { slot, source })?;
        let mut top = [0; BLOCK_BYTES];
        part.read_exact_at(&mut top, TOP_BLOCK_OFFSET)?;
        let root_hash = root_hash_of_top_block(&superblock.salt, &top);
        Ok(Some(Verity {
            superblock,
            root_hash,
        }))
    }

    /// The boot payload of `slot`.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn payload(&self, slot: Slot) -> Result<Payload, Fault> {
        let fat = FatReader::open(self.part(Partition::Esp)?)?;
        let name = format!("EFI/Linux/{}", slot.uki_file_name());
        let file = fat.find(&name)?.ok_or(Fault::Payload(slot))?;
        let content = fat.contiguous(&file)?.ok_or(Fault::Payload(slot))?;
        Ok(Payload {
            uki: UkiFacts::read(&content as &dyn ReadAt)?,
            slot_bytes: u64::from(file.len),
        })
    }
}
