//! Where the areas lie on a disk: by its partition table, and on partition 1 by the FAT.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::Path,
};

use outcrop_release::{
    fat::FatReader,
    loader::{LOADER_CONF_BYTES, LOADER_CONF_PATH},
    partition::Partition,
    read_at::{ReadAt, Window},
    slot::Slot,
    units::Extent,
};

use super::OpenError;
use crate::{
    disk::Area,
    gpt::{PartitionTable, Shape, read_partition_table},
};

/// A disk's bytes.
struct Bytes<'a> {
    file: &'a File,
    len: u64,
}

impl ReadAt for Bytes<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Finds every area of `disk`, which was opened at `path` and has sectors of `sector_bytes`.
pub(super) fn areas(
    path: &Path,
    disk: &File,
    sector_bytes: u32,
) -> Result<BTreeMap<Area, Extent>, OpenError> {
    let mut end = disk;
    let bytes = end.seek(SeekFrom::End(0)).map_err(|source| OpenError::File {
        doing: "find the end of",
        path: path.to_owned(),
        source,
    })?;
    let shape = Shape { sector_bytes, bytes };
    let mut read = |offset, buffer: &mut [u8]| disk.read_exact_at(buffer, offset);
    let table = read_partition_table(&mut read, shape).map_err(|source| OpenError::Table {
        path: path.to_owned(),
        source,
    })?;
    let find = |partition: Partition| {
        extent(&table, partition, shape).ok_or(OpenError::Partition {
            path: path.to_owned(),
            label: partition.label(),
        })
    };
    let mut areas = BTreeMap::from([(Area::BootRecord, find(Partition::BootRecord)?)]);
    for slot in Slot::ALL {
        areas.insert(Area::Root(slot), find(Partition::Root(slot))?);
        areas.insert(Area::Verity(slot), find(Partition::Verity(slot))?);
    }
    let esp = find(Partition::Esp)?;
    if table.with_label(Partition::Boot(Slot::A).label()).is_some() {
        for slot in Slot::ALL {
            areas.insert(Area::Boot(slot), find(Partition::Boot(slot))?);
        }
        return Ok(areas);
    }
    let fat = Fat {
        path,
        esp,
        disk: Bytes {
            file: disk,
            len: bytes,
        },
    };
    for slot in Slot::ALL {
        let file = format!("EFI/Linux/{}", slot.uki_file_name());
        areas.insert(Area::Boot(slot), fat.file(&file)?);
    }
    let config = fat.file(LOADER_CONF_PATH)?;
    if config.len != LOADER_CONF_BYTES as u64 {
        return Err(fat.not_in_one_piece(LOADER_CONF_PATH));
    }
    areas.insert(Area::LoaderConfig, config);
    Ok(areas)
}

fn extent(table: &PartitionTable, partition: Partition, shape: Shape) -> Option<Extent> {
    let entry = table.with_label(partition.label())?;
    let sector = u64::from(shape.sector_bytes);
    let end = entry.last.checked_add(1)?.checked_mul(sector)?;
    let start = entry.first.checked_mul(sector)?;
    let len = end.checked_sub(start)?;
    (end <= shape.bytes).then_some(Extent { start, len })
}

/// Partition 1.
struct Fat<'a> {
    path: &'a Path,
    esp: Extent,
    disk: Bytes<'a>,
}

impl Fat<'_> {
    /// Where a file lies on the disk.
    fn file(&self, file: &str) -> Result<Extent, OpenError> {
        let failed = |source| OpenError::Fat {
            path: self.path.to_owned(),
            file: file.to_owned(),
            source,
        };
        let window =
            Window::new(&self.disk, self.esp.start, self.esp.len).map_err(|error| failed(error.into()))?;
        let fat = FatReader::open(window).map_err(failed)?;
        let entry = fat.find(file).map_err(failed)?;
        let entry = entry
            .filter(|entry| !entry.is_folder)
            .ok_or_else(|| self.not_in_one_piece(file))?;
        match fat.extents(&entry).map_err(failed)?.as_slice() {
            [only] if only.end() <= self.esp.len => Ok(Extent {
                start: self.esp.start + only.start,
                len: only.len,
            }),
            _ => Err(self.not_in_one_piece(file)),
        }
    }

    fn not_in_one_piece(&self, file: &str) -> OpenError {
        OpenError::NotInOnePiece {
            path: self.path.to_owned(),
            file: file.to_owned(),
        }
    }
}
