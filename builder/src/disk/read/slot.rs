//! What a slot holds.

use std::sync::Arc;

use outcrop_release::{
    board::Board,
    cmdline::CommandLine,
    digest::RootHash,
    fat::FatReader,
    partition::Partition,
    slot::Slot,
    verity::{
        BLOCK_BYTES, SUPERBLOCK_BYTES, Superblock, SuperblockError, TOP_BLOCK_OFFSET, root_hash_of_top_block,
    },
};

use super::image::{DiskImage, DiskReadError};
use crate::{
    boot::{facts::PayloadFacts, partition::PartitionReadError, uki::UkiFacts},
    read_at::{FileSource, ReadAt, Window},
    secure_boot::{self, Certificate},
};

/// The bytes of partition 1, and its file system.
type EspBytes = Window<Arc<FileSource>>;
type Esp = FatReader<EspBytes>;

/// One slot of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotFacts {
    /// Root file system and tree; none when the slot is empty.
    pub root: Option<RootFacts>,
    /// Boot payload; none when its file holds nothing.
    pub boot: Option<BootFacts>,
}

/// A slot's root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFacts {
    /// What the verity partition begins with.
    pub superblock: Superblock,
    /// Hash of the tree's top block. That the tree and the data match it isn't checked.
    pub root_hash: RootHash,
    /// Space for root file systems, in bytes.
    pub slot_bytes: u64,
}

/// A slot's boot payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFacts {
    /// What it says of itself.
    pub payload: PayloadFacts,
    /// Its command line, split.
    pub command_line: CommandLine,
    /// Space for boot payloads, in bytes.
    pub slot_bytes: u64,
}

impl SlotFacts {
    /// Whether the boot payload names the root file system of its own slot.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match (&self.root, &self.boot) {
            (Some(root), Some(boot)) => boot.command_line.root_hash() == Ok(root.root_hash),
            _ => false,
        }
    }
}

impl DiskImage {
    /// Reads what `slot` holds.
    ///
    /// # Errors
    /// When there is something that can't be read.
    pub fn slot(&self, slot: Slot) -> Result<SlotFacts, DiskReadError> {
        Ok(SlotFacts {
            root: self.root_facts(slot)?,
            boot: self.boot_facts(slot)?,
        })
    }

    /// The first `bytes` bytes of what a slot has for its boot payload, fewer when that is shorter.
    ///
    /// # Errors
    /// When it can't be read, or lies in several pieces.
    pub fn boot_bytes(&self, slot: Slot, bytes: u64) -> Result<Vec<u8>, DiskReadError> {
        let first = |content: &dyn ReadAt| {
            let len = usize::try_from(bytes.min(content.len())).unwrap_or(usize::MAX);
            content.read_vec(0, len).map_err(|source| self.failed(source))
        };
        if self.board() == Board::Rpi {
            return first(&self.partition(Partition::Boot(slot))?);
        }
        let esp = self.esp()?;
        let path = format!("EFI/Linux/{}", slot.uki_file_name());
        let Some(file) = esp.find(&path).map_err(|source| self.bad_esp(source))? else {
            return Ok(Vec::new());
        };
        let content = esp.contiguous(&file).map_err(|source| self.bad_esp(source))?;
        first(&content.ok_or_else(|| DiskReadError::Fragmented {
            path: self.path.clone(),
            slot,
        })?)
    }

    fn root_facts(&self, slot: Slot) -> Result<Option<RootFacts>, DiskReadError> {
        let verity = self.partition(Partition::Verity(slot))?;
        let head = verity
            .read_vec(0, SUPERBLOCK_BYTES)
            .map_err(|source| self.failed(source))?;
        let superblock = match Superblock::parse(&head) {
            Ok(superblock) => superblock,
            Err(SuperblockError::Magic) => return Ok(None),
            Err(source) => {
                return Err(DiskReadError::Verity {
                    path: self.path.clone(),
                    slot,
                    source,
                });
            }
        };
        let mut top = [0; BLOCK_BYTES];
        verity
            .read_exact_at(&mut top, TOP_BLOCK_OFFSET)
            .map_err(|source| self.failed(source))?;
        let root_hash = root_hash_of_top_block(&superblock.salt, &top);
        let slot_bytes = self.partition(Partition::Root(slot))?.len();
        Ok(Some(RootFacts {
            superblock,
            root_hash,
            slot_bytes,
        }))
    }

    fn boot_facts(&self, slot: Slot) -> Result<Option<BootFacts>, DiskReadError> {
        match self.board() {
            Board::Efi => self.uki_facts(slot),
            Board::Rpi => self.boot_partition_facts(slot),
        }
    }

    fn boot_partition_facts(&self, slot: Slot) -> Result<Option<BootFacts>, DiskReadError> {
        let partition = self.partition(Partition::Boot(slot))?;
        let mut start = [0; 2];
        partition
            .read_exact_at(&mut start, 0)
            .map_err(|source| self.failed(source))?;
        if start == [0; 2] {
            return Ok(None);
        }
        let slot_bytes = partition.len();
        let payload = FatReader::open(partition)
            .map_err(PartitionReadError::from)
            .and_then(|fat| PayloadFacts::of_partition(&fat))
            .map_err(|source| DiskReadError::BootPartition {
                path: self.path.clone(),
                slot,
                source,
            })?;
        Ok(Some(BootFacts {
            command_line: CommandLine::parse(&payload.command_line),
            payload,
            slot_bytes,
        }))
    }

    /// Whose signature for Secure Boot a slot's boot payload has, and why it can't be told; none when it has none.
    ///
    /// # Errors
    /// When the slot can't be read. A signature that doesn't hold is what is told.
    pub fn boot_signature(
        &self,
        slot: Slot,
    ) -> Result<Option<Result<Certificate, secure_boot::Fault>>, DiskReadError> {
        if self.board() == Board::Rpi || self.boot_facts(slot)?.is_none() {
            return Ok(None);
        }
        let esp = self.esp()?;
        let content = self.uki_file(&esp, slot)?;
        Ok(content.and_then(|content| secure_boot::read_signature(&content).transpose()))
    }

    /// The file of a slot's UKI.
    fn uki_file<'e>(&self, esp: &'e Esp, slot: Slot) -> Result<Option<Window<&'e EspBytes>>, DiskReadError> {
        let path = format!("EFI/Linux/{}", slot.uki_file_name());
        let Some(file) = esp.find(&path).map_err(|source| self.bad_esp(source))? else {
            return Ok(None);
        };
        let content = esp.contiguous(&file).map_err(|source| self.bad_esp(source))?;
        let in_pieces = || DiskReadError::Fragmented {
            path: self.path.clone(),
            slot,
        };
        content.ok_or_else(in_pieces).map(Some)
    }

    fn uki_facts(&self, slot: Slot) -> Result<Option<BootFacts>, DiskReadError> {
        let esp = self.esp()?;
        let Some(content) = self.uki_file(&esp, slot)? else {
            return Ok(None);
        };
        let mut start = [0; 2];
        let empty = content.len() < 2 || {
            content
                .read_exact_at(&mut start, 0)
                .map_err(|source| self.failed(source))?;
            start == [0; 2]
        };
        if empty {
            return Ok(None);
        }
        let uki = UkiFacts::read(&content);
        let uki = uki.map_err(|source| DiskReadError::Uki {
            path: self.path.clone(),
            slot,
            source,
        })?;
        let command_line = CommandLine::parse(&uki.command_line);
        Ok(Some(BootFacts {
            payload: uki.into(),
            command_line,
            slot_bytes: content.len(),
        }))
    }
}
