//! The running slot's boot payload, as it is on the medium.

use std::io;

use outcrop_release::{
    bootrec::Payload,
    digest::FileDigest,
    fat::{FatError, FatReader},
    read_at::ReadAt,
    slot::Slot,
    uboot::file,
};
use sha2::{Digest as _, Sha256};

use crate::{
    boot_partition::{self, BootPartitionError, Medium},
    disk::{Area, Disk},
};

/// Bytes that are read at a time.
const CHUNK_BYTES: u64 = 256 << 10;

/// It can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The boot partition.
    #[error(transparent)]
    Partition(#[from] BootPartitionError),
    /// Its file system, or what lies below.
    #[error("the boot payload of slot {slot}")]
    Fat {
        /// The slot.
        slot: Slot,
        /// Why.
        source: FatError,
    },
}

/// Its SHA-256, and whether it isn't what was installed. None when the record doesn't say how long it is.
pub(super) fn digest(
    disk: &impl Disk,
    slot: Slot,
    installed: &Payload,
) -> Result<(Option<String>, bool), PayloadError> {
    let failed = |source| PayloadError::Fat { slot, source };
    let is_known = *installed != Payload::default();
    let bytes = Medium::new(disk, Area::Boot(slot));
    let Some(found) = boot_partition::payload(disk, slot)? else {
        if !is_known {
            return Ok((None, false));
        }
        let mut sums = Sums::default();
        let len = u64::from(installed.kernel.len);
        sums.add(&bytes, len).map_err(|error| failed(error.into()))?;
        let (digest, crc32) = sums.finish();
        return Ok((Some(digest), crc32 != installed.kernel.crc32));
    };
    // Every file that the boot script may read, by name.
    let fat = FatReader::open(&bytes).map_err(failed)?;
    let mut sums = Sums::default();
    for folder in ["", file::DEVICE_TREES] {
        let mut entries = fat.list(folder).map_err(failed)?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        for entry in entries.iter().filter(|entry| !entry.is_folder) {
            sums.name(&entry.name, entry.len);
            if let Some(content) = fat.contiguous(entry).map_err(failed)? {
                sums.add(&content, content.len())
                    .map_err(|error| failed(error.into()))?;
            }
        }
    }
    Ok((Some(sums.finish().0), is_known && found != *installed))
}

#[derive(Default)]
struct Sums {
    digest: Sha256,
    crc32: crc32fast::Hasher,
}

impl Sums {
    fn name(&mut self, name: &str, len: u32) {
        self.digest.update(name.as_bytes());
        self.digest.update([0]);
        self.digest.update(len.to_le_bytes());
    }

    fn add(&mut self, content: &impl ReadAt, len: u64) -> io::Result<()> {
        let mut at = 0;
        while at < len {
            let chunk = CHUNK_BYTES.min(len - at);
            let bytes = content.read_vec(at, usize::try_from(chunk).map_err(io::Error::other)?)?;
            self.digest.update(&bytes);
            self.crc32.update(&bytes);
            at += chunk;
        }
        Ok(())
    }

    fn finish(self) -> (String, u32) {
        let digest = FileDigest::from_bytes(self.digest.finalize().into());
        (digest.to_string(), self.crc32.finalize())
    }
}
