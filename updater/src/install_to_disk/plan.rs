//! What of this disk goes to the other, and what is written there instead: pure.

use std::io;

use outcrop_release::{
    bootrec::{BootRecord, COPY_OFFSETS, SlotRecord, SlotState},
    partition::Partition,
    slot::Slot,
    units::Extent,
    verity::Superblock,
};

use super::ToDiskError;
use crate::gpt::{PartitionTable, Shape};

/// A range of bytes that is copied to the same place.
pub type Range = Extent;

/// So much of an empty slot is zero on the medium: an older system's bytes there must not be taken for a release.
const EMPTY_SLOT_BYTES: u64 = 64 << 10;

/// What is done with the other disk's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Partition 1.
    pub partition_1: Extent,
    /// What becomes zero, before anything is copied.
    pub zeroed: Vec<Extent>,
    /// What is copied, to the same place.
    pub copied: Vec<Range>,
    /// What is written afterwards: places, and bytes.
    pub written: Vec<(u64, Vec<u8>)>,
}

impl Plan {
    /// How many bytes are copied.
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.copied.iter().map(|range| range.len).sum()
    }
}

/// Plans for the release that runs from `slot` of a disk with `table`; `read` takes the first 512 bytes of a partition.
///
/// # Errors
/// When what runs isn't the settled default, or a partition is missing.
pub fn plan(
    table: &PartitionTable,
    shape: Shape,
    slot: Slot,
    record: &BootRecord,
    read: impl Fn(Extent) -> io::Result<Vec<u8>>,
) -> Result<Plan, ToDiskError> {
    if record.trial.is_some() || record.default != slot {
        return Err(ToDiskError::Unsettled(slot));
    }
    let find = |partition: Partition| {
        let missing = ToDiskError::Partition(partition.label());
        extent(table, partition, shape).ok_or(missing)
    };
    let (esp, bootrec) = (find(Partition::Esp)?, find(Partition::BootRecord)?);
    let (root, verity) = (find(Partition::Root(slot))?, find(Partition::Verity(slot))?);
    let head = read(verity).map_err(|source| ToDiskError::Io {
        doing: "read",
        path: Partition::Verity(slot).label().into(),
        source,
    })?;
    let superblock = Superblock::parse(&head).map_err(|_| ToDiskError::Tree)?;
    let root_bytes = superblock.geometry.data_bytes();
    if root_bytes > root.len {
        return Err(ToDiskError::Tree);
    }
    let mut copied = vec![
        esp,
        Extent {
            len: root_bytes,
            ..root
        },
        verity,
    ];
    let other = slot.other();
    let empty = |extent: Extent| Extent {
        len: EMPTY_SLOT_BYTES.min(extent.len),
        ..extent
    };
    let mut zeroed = vec![bootrec, empty(find(Partition::Verity(other))?)];
    // Where boot payloads have partitions of their own.
    if let Ok(boot) = find(Partition::Boot(slot)) {
        copied.push(boot);
        zeroed.push(empty(find(Partition::Boot(other))?));
    }
    let fresh = fresh(record, slot).encode().to_vec();
    let written = COPY_OFFSETS.map(|offset| (bootrec.start + offset, fresh.clone()));
    Ok(Plan {
        partition_1: esp,
        zeroed,
        copied,
        written: written.to_vec(),
    })
}

/// The record of a device that has only what runs.
fn fresh(record: &BootRecord, slot: Slot) -> BootRecord {
    let mut fresh = BootRecord::fresh(SlotRecord::EMPTY);
    fresh.default = slot;
    *fresh.slot_mut(slot) = SlotRecord {
        state: SlotState::Good,
        attempts: 0,
        starts: 0,
        ..*record.slot(slot)
    };
    fresh
}

fn extent(table: &PartitionTable, partition: Partition, shape: Shape) -> Option<Extent> {
    let entry = table.with_label(partition.label())?;
    let sector = u64::from(shape.sector_bytes);
    let end = entry.last.checked_add(1)?.checked_mul(sector)?;
    let start = entry.first.checked_mul(sector)?;
    let len = end.checked_sub(start)?;
    (end <= shape.bytes).then_some(Extent { start, len })
}
