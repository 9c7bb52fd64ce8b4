//! The boot record on the disk: read, changed, written so that one whole copy is always there.

use outcrop_release::{
    bootrec::{BootRecord, COPY_OFFSETS, Copies, RECORD_BYTES, RecordError, Sequence, SlotRecord, SlotState},
    slot::Slot,
    verity::{BLOCK_BYTES, Superblock},
};

use crate::{
    boot_control::efi::configured_slot,
    disk::{Area, Disk, DiskError},
};

/// The boot record can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk.
    #[error("the boot record")]
    Disk(#[from] DiskError),
    /// A newer Outcrop wrote it.
    #[error("the boot record is of a newer Outcrop: install the updater of the newer release")]
    Newer(#[source] RecordError),
    /// What was written isn't what is on the medium.
    #[error("the boot record can't be read back as it was written: the disk is failing")]
    Medium,
}

/// Reads the record from the medium. Without a whole copy, what the boot loader starts by itself is the default and good, and the
/// other slot holds nothing: so it is on a disk that was flashed and never updated, and nothing else can be said of one that has lost both.
///
/// # Errors
/// When a newer Outcrop wrote the record, or neither copy can be read: that says nothing about what they hold.
pub fn load(disk: &impl Disk) -> Result<BootRecord, StoreError> {
    let copies = copies(disk)?;
    copies.next_copy().map_err(StoreError::Newer)?;
    Ok(copies
        .newest()
        .map_or_else(|| unknown(disk), |found| found.record))
}

/// Whether neither copy is whole.
///
/// # Errors
/// When neither can be read.
pub fn is_lost(disk: &impl Disk) -> Result<bool, StoreError> {
    Ok(copies(disk)?.newest().is_none())
}

fn unknown(disk: &impl Disk) -> BootRecord {
    // Where the loader doesn't say either: the first slot that holds a whole release; what is flashed is in slot A.
    let whole = || Slot::ALL.into_iter().find(|slot| has_superblock(disk, *slot));
    let default = configured_slot(disk)
        .ok()
        .flatten()
        .or_else(whole)
        .unwrap_or(Slot::A);
    let good = SlotRecord {
        state: SlotState::Good,
        ..SlotRecord::EMPTY
    };
    let mut record = BootRecord::fresh(SlotRecord::EMPTY);
    record.default = default;
    *record.slot_mut(default) = good;
    record
}

/// Whether a slot's installation came to its end: its superblock is written last.
fn has_superblock(disk: &impl Disk, slot: Slot) -> bool {
    let mut block = [0; BLOCK_BYTES];
    disk.read_medium(Area::Verity(slot), 0, &mut block).is_ok() && Superblock::parse(&block).is_ok()
}

/// One copy that can't be read counts as damaged: a torn sector may stay unreadable until it is written again.
fn copies(disk: &impl Disk) -> Result<Copies, DiskError> {
    let sector = |at: u64| {
        let mut sector = [0; RECORD_BYTES];
        disk.read_medium(Area::BootRecord, at, &mut sector)
            .map(|()| sector)
    };
    let unreadable = |_: DiskError| [0; RECORD_BYTES];
    let sectors = match COPY_OFFSETS.map(sector) {
        [Err(error), Err(_)] => return Err(error),
        sectors => sectors.map(|sector| sector.unwrap_or_else(unreadable)),
    };
    Ok(Copies::read([&sectors[0], &sectors[1]]))
}

/// Writes the record over the copy that doesn't count, flushes it, and reads it back from the medium.
///
/// # Errors
/// When any of that fails. The copy that counted before is untouched.
pub fn store(disk: &mut impl Disk, record: &BootRecord) -> Result<BootRecord, StoreError> {
    // A write that somebody else left in the caches must not decide which copy counts.
    disk.flush(Area::BootRecord)?;
    let copies = copies(disk)?;
    let copy = copies.next_copy().map_err(StoreError::Newer)?;
    let last = copies.newest().map(|found| found.record.sequence);
    let mut record = *record;
    record.sequence = last.map_or(record.sequence, Sequence::next);
    let at = COPY_OFFSETS.into_iter().nth(copy).unwrap_or_default();
    let bytes = record.encode();
    disk.write(Area::BootRecord, at, &bytes)?;
    disk.flush(Area::BootRecord)?;
    let mut found = [0; RECORD_BYTES];
    disk.read_medium(Area::BootRecord, at, &mut found)?;
    if found == bytes {
        Ok(record)
    } else {
        Err(StoreError::Medium)
    }
}
