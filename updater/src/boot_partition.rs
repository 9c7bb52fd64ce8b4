//! A slot's boot partition on board `rpi`: a FAT32 whose kernel and initramfs U-Boot's script checks before it starts them.

use std::io;

use outcrop_release::{
    bootrec::{Payload, PayloadPart},
    fat::{FatError, FatReader},
    read_at::ReadAt,
    slot::Slot,
    uboot::file,
    verity::BLOCK_BYTES,
};

use crate::disk::{Area, Disk};

/// Bytes that are summed up at a time.
const CHUNK_BYTES: u64 = 256 << 10;

/// A boot partition can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum BootPartitionError {
    /// Its file system, or what lies below.
    #[error("read the file system of the boot partition of slot {slot}")]
    Fat {
        /// The slot.
        slot: Slot,
        /// Why.
        source: FatError,
    },
    /// A file is missing, or in several pieces.
    #[error("the boot partition of slot {slot} has no file {file} in one piece")]
    File {
        /// The slot.
        slot: Slot,
        /// The file.
        file: &'static str,
    },
}

/// Sums up kernel and initramfs of `slot` from the medium. None on boards whose boot payload is one file of partition 1.
///
/// # Errors
/// When the partition can't be read, or lacks a file.
pub fn payload(disk: &impl Disk, slot: Slot) -> Result<Option<Payload>, BootPartitionError> {
    if disk.bytes(Area::LoaderConfig) > 0 {
        return Ok(None);
    }
    let failed = |source| BootPartitionError::Fat { slot, source };
    let bytes = Medium::new(disk, Area::Boot(slot));
    let fat = FatReader::open(&bytes).map_err(failed)?;
    let part = |name| {
        let missing = || BootPartitionError::File { slot, file: name };
        let entry = fat.find(name).map_err(failed)?.ok_or_else(missing)?;
        let content = fat.contiguous(&entry).map_err(failed)?.ok_or_else(missing)?;
        sum(&content).map_err(|error| failed(error.into()))
    };
    Ok(Some(Payload {
        kernel: part(file::KERNEL)?,
        initramfs: part(file::INITRAMFS)?,
    }))
}

fn sum(content: &impl ReadAt) -> io::Result<PayloadPart> {
    let mut sum = crc32fast::Hasher::new();
    let mut at = 0;
    while at < content.len() {
        let len = CHUNK_BYTES.min(content.len() - at);
        let bytes = content.read_vec(at, usize::try_from(len).map_err(io::Error::other)?)?;
        sum.update(&bytes);
        at += len;
    }
    Ok(PayloadPart {
        len: u32::try_from(content.len()).map_err(io::Error::other)?,
        crc32: sum.finalize(),
    })
}

/// An area's bytes as they are on the medium.
#[derive(Debug)]
pub(crate) struct Medium<'d, D> {
    disk: &'d D,
    area: Area,
}

impl<'d, D> Medium<'d, D> {
    pub(crate) const fn new(disk: &'d D, area: Area) -> Self {
        Self { disk, area }
    }
}

impl<D: Disk> ReadAt for Medium<'_, D> {
    fn len(&self) -> u64 {
        self.disk.bytes(self.area)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        // Whole blocks around what is wanted.
        let start = offset - offset % BLOCK_BYTES as u64;
        let skip = usize::try_from(offset - start).map_err(io::Error::other)?;
        let mut blocks = vec![0; (skip + buffer.len()).next_multiple_of(BLOCK_BYTES)];
        self.disk
            .read_medium(self.area, start, &mut blocks)
            .map_err(io::Error::other)?;
        let wanted = blocks
            .get(skip..skip + buffer.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(wanted);
        Ok(())
    }
}
