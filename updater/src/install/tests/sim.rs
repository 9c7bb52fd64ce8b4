//! A disk that remembers every write and flush, and what a power cut may leave of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use outcrop_release::{slot::Slot, verity::BLOCK_BYTES};

use super::{
    super::{InstallError, Scratch, Stage, Watch},
    bundle::Release,
};
use crate::disk::{Area, Disk, DiskError};

const SECTOR: usize = 512;
const SECOND_RECORD: usize = 4 << 20;

/// Something that happened to the disk.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Write { area: Area, at: usize, bytes: Vec<u8> },
    Flush(Area),
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimDisk {
    /// What the kernel has.
    areas: BTreeMap<Area, Vec<u8>>,
    /// What the disk has: what was flushed, whether it is durable or in the disk's own memory.
    medium: BTreeMap<Area, Vec<u8>>,
    pub(super) log: Vec<Event>,
    /// Blocks that can't be read until they are written.
    pub(super) unreadable: BTreeSet<(Area, u64)>,
    /// The flush of this number reaches the disk's memory only: a program without it.
    pub(super) lost_flush: Option<usize>,
    /// The flush of this number fails. The kernel keeps the bytes and forgets that they aren't on the disk.
    pub(super) failing_flush: Option<usize>,
    /// Writes of this number and later ones fail.
    pub(super) failing_write: Option<usize>,
    /// The medium keeps another byte than was written there.
    pub(super) rotten: Option<(Area, usize)>,
    flushes: usize,
    writes: usize,
}

impl SimDisk {
    /// A disk that runs `release` from slot A, as it was flashed.
    pub(super) fn flashed(release: &Release) -> Self {
        let mut areas = BTreeMap::from([(Area::BootRecord, vec![0; 2 * SECTOR])]);
        for slot in Slot::ALL {
            areas.insert(Area::Boot(slot), vec![0; 12 * BLOCK_BYTES]);
            areas.insert(Area::Root(slot), vec![0; 48 * BLOCK_BYTES]);
            areas.insert(Area::Verity(slot), vec![0; 3 * BLOCK_BYTES]);
        }
        let mut disk = Self {
            areas,
            ..Self::default()
        };
        let tree = release.root_tree().to_bytes();
        for (area, bytes) in [
            (Area::Boot(Slot::A), &release.boot),
            (Area::Root(Slot::A), &release.root),
            (Area::Verity(Slot::A), &tree),
        ] {
            disk.areas.get_mut(&area).unwrap()[..bytes.len()].copy_from_slice(bytes);
        }
        disk.medium.clone_from(&disk.areas);
        disk
    }

    pub(super) fn content(&self, area: Area) -> &[u8] {
        &self.areas[&area]
    }

    pub(super) fn flip(&mut self, area: Area, at: u64) {
        for content in [&mut self.areas, &mut self.medium] {
            content.get_mut(&area).unwrap()[usize::try_from(at).unwrap()] ^= 1;
        }
    }

    pub(super) fn forget_log(&mut self) {
        self.log.clear();
    }

    /// Bytes written to some areas since the log was forgotten.
    pub(super) fn written(&self, wanted: impl Fn(Area) -> bool) -> u64 {
        let bytes = |event: &Event| match event {
            Event::Write { area, bytes, .. } if wanted(*area) => bytes.len() as u64,
            _ => 0,
        };
        self.log.iter().map(bytes).sum()
    }

    /// How often it was written to.
    pub(super) const fn writes(&self) -> usize {
        self.writes
    }

    /// How often it was flushed.
    pub(super) const fn flushes(&self) -> usize {
        self.flushes
    }

    /// Whether a slot holds all of a release.
    pub(super) fn holds(&self, slot: Slot, release: &Release) -> bool {
        let tree = release.root_tree().to_bytes();
        let begins = |area: Area, bytes: &[u8]| self.medium[&area].starts_with(bytes);
        begins(Area::Boot(slot), &release.boot)
            && begins(Area::Root(slot), &release.root)
            && begins(Area::Verity(slot), &tree)
    }

    pub(super) fn assert_holds(&self, slot: Slot, release: &Release) {
        assert!(
            self.holds(slot, release),
            "slot {slot} doesn't hold release {}",
            release.number
        );
    }

    /// The disk after a power cut behind the first `count` events of its log, which began with `before`. Of the writes that
    /// weren't flushed by then, `survives` says for each sector whether it reached the medium.
    pub(super) fn cut(
        before: &Self,
        log: &[Event],
        count: usize,
        mut survives: impl FnMut() -> bool,
    ) -> Self {
        let mut disk = Self {
            areas: before.medium.clone(),
            ..Self::default()
        };
        let happened = &log[..count];
        for (number, event) in happened.iter().enumerate() {
            let Event::Write { area, at, bytes } = event else {
                continue;
            };
            let is_flush = |later: &Event| matches!(later, Event::Flush(flushed) if flushed == area);
            let is_durable = happened[number..].iter().any(is_flush);
            let content = disk.areas.get_mut(area).unwrap();
            for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                if is_durable || survives() {
                    let start = at + index * SECTOR;
                    content[start..start + sector.len()].copy_from_slice(sector);
                }
            }
        }
        disk.medium.clone_from(&disk.areas);
        disk
    }

    fn read_from(
        &self,
        areas: &BTreeMap<Area, Vec<u8>>,
        area: Area,
        at: u64,
        buffer: &mut [u8],
    ) -> Result<(), DiskError> {
        let blocks = at / BLOCK_BYTES as u64..=(at + buffer.len() as u64 - 1) / BLOCK_BYTES as u64;
        if blocks
            .into_iter()
            .any(|block| self.unreadable.contains(&(area, block)))
        {
            return Err(error("read", area, at));
        }
        let start = place(area, at);
        buffer.copy_from_slice(&areas[&area][start..start + buffer.len()]);
        Ok(())
    }
}

/// Where a byte lies in an area's content. Of the boot record's partition only the two sectors are kept.
fn place(area: Area, at: u64) -> usize {
    let at = usize::try_from(at).unwrap();
    match area {
        Area::BootRecord => at.checked_sub(SECOND_RECORD).map_or(at, |rest| SECTOR + rest),
        _ => at,
    }
}

fn error(doing: &'static str, area: Area, at: u64) -> DiskError {
    DiskError {
        doing,
        area,
        at,
        source: io::Error::other("Input/output error"),
    }
}

impl Disk for SimDisk {
    fn bytes(&self, area: Area) -> u64 {
        self.areas[&area].len() as u64
    }

    fn read(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.read_from(&self.areas, area, at, buffer)
    }

    fn read_medium(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.read_from(&self.medium, area, at, buffer)?;
        if let Some((rotten, place)) = self.rotten
            && rotten == area
            && let Some(offset) = place.checked_sub(usize::try_from(at).unwrap())
            && let Some(byte) = buffer.get_mut(offset)
        {
            *byte ^= 1;
        }
        Ok(())
    }

    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> Result<(), DiskError> {
        if self.failing_write.is_some_and(|first| self.writes >= first) {
            return Err(error("write", area, at));
        }
        self.writes += 1;
        let start = place(area, at);
        self.areas.get_mut(&area).unwrap()[start..start + bytes.len()].copy_from_slice(bytes);
        for block in at / BLOCK_BYTES as u64..(at + bytes.len() as u64).div_ceil(BLOCK_BYTES as u64) {
            self.unreadable.remove(&(area, block));
        }
        self.log.push(Event::Write {
            area,
            at: start,
            bytes: bytes.to_vec(),
        });
        Ok(())
    }

    fn flush(&mut self, area: Area) -> Result<(), DiskError> {
        let number = self.flushes;
        self.flushes += 1;
        if self.failing_flush == Some(number) {
            return Err(error("flush", area, 0));
        }
        let content = self.areas[&area].clone();
        self.medium.insert(area, content);
        if self.lost_flush != Some(number) {
            self.log.push(Event::Flush(area));
        }
        Ok(())
    }
}

/// The trees, in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    bytes: Vec<u8>,
    pub(super) full: bool,
}

impl Memory {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Scratch for Memory {
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let start = usize::try_from(at).unwrap();
        let end = self.bytes.len().max(start + bytes.len());
        self.bytes.resize(end, 0);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(at).unwrap();
        let found = self.bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Nobody is told, and nobody stops it.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    fn advance(&self, _: Stage, _: u64) {}

    fn checkpoint(&self) -> Result<(), InstallError> {
        Ok(())
    }
}
