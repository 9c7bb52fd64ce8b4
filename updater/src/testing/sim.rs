//! A disk that remembers every write and flush, and what a power cut may leave of them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    rc::Rc,
};

use outcrop_release::{
    bootrec::{Payload, StartReason},
    loader::LoaderConf,
    slot::Slot,
    verity::{BLOCK_BYTES, Geometry},
};

use super::bundle::Release;
use crate::{
    boot_control::{BootControl, ControlError, efi},
    boot_partition::BootPartitionError,
    disk::{Area, Disk, DiskError},
    install::{InstallError, Scratch, Stage, Watch},
};

const SECTOR: usize = 512;
const SECOND_RECORD: usize = 4 << 20;

/// Something that happened to the disk.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Write {
        area: Area,
        at: usize,
        bytes: Vec<u8>,
    },
    Flush(Area),
    /// The firmware was told what to start once.
    OneShot(Option<Slot>),
}

/// What happened to a device, in order: to its disk and to its firmware.
#[derive(Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<Event>>>);

impl Clone for Log {
    /// Of its own: what happens to one disk doesn't happen to its copy.
    fn clone(&self) -> Self {
        Self(Rc::new(RefCell::new(self.events())))
    }
}

impl Log {
    fn push(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.borrow().clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// A boot loader: its variable outlives a power cut, its configuration is the disk's.
#[derive(Debug, Default)]
pub(crate) struct SimFirmware {
    pub(crate) one_shot: Option<Slot>,
    /// Variables can't be set.
    pub(crate) refuses: bool,
    /// It is U-Boot, which started what runs for this reason.
    pub(crate) started: Option<StartReason>,
    log: Log,
}

impl SimFirmware {
    /// The firmware of a device with this disk: both write one log.
    pub(crate) fn beside(disk: &SimDisk, one_shot: Option<Slot>) -> Self {
        Self {
            one_shot,
            refuses: false,
            started: disk.is_uboot().then_some(StartReason::Unwritten),
            log: Log(Rc::clone(&disk.log.0)),
        }
    }
}

impl BootControl for SimFirmware {
    fn reads_record(&self) -> Option<StartReason> {
        self.started
    }

    fn probe(&mut self) -> Result<(), ControlError> {
        if self.refuses {
            return Err(ControlError::Forgotten("LoaderEntryOneShot"));
        }
        Ok(())
    }

    fn armed(&self) -> Result<Option<Slot>, ControlError> {
        Ok(self.one_shot)
    }

    fn arm(&mut self, slot: Slot) -> Result<(), ControlError> {
        self.probe()?;
        self.one_shot = Some(slot);
        self.log.push(Event::OneShot(Some(slot)));
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), ControlError> {
        self.one_shot = None;
        self.log.push(Event::OneShot(None));
        Ok(())
    }

    fn default_slot(&self, disk: &impl Disk) -> Result<Option<Slot>, ControlError> {
        efi::configured_slot(disk)
    }

    fn set_default(&mut self, disk: &mut impl Disk, slot: Slot) -> Result<(), ControlError> {
        efi::configure_slot(disk, slot)
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk {
    /// What the kernel has.
    areas: BTreeMap<Area, Vec<u8>>,
    /// What the disk has: what was flushed, whether it is durable or in the disk's own memory.
    medium: BTreeMap<Area, Vec<u8>>,
    pub(crate) log: Log,
    /// Blocks that can't be read until they are written.
    pub(crate) unreadable: BTreeSet<(Area, u64)>,
    /// The flush of this number reaches the disk's memory only: a program without it.
    pub(crate) lost_flush: Option<usize>,
    /// The flush of this number fails. The kernel keeps the bytes and forgets that they aren't on the disk.
    pub(crate) failing_flush: Option<usize>,
    /// Writes of this number and later ones fail.
    pub(crate) failing_write: Option<usize>,
    /// The medium keeps another byte than was written there.
    pub(crate) rotten: Option<(Area, usize)>,
    flushes: usize,
    writes: usize,
    /// Bytes that were read of each area.
    read: RefCell<BTreeMap<Area, u64>>,
}

impl SimDisk {
    /// A disk that runs `release` from slot A, as it was flashed.
    pub(crate) fn flashed(release: &Release) -> Self {
        Self::flashed_with_room(release, 48)
    }

    /// The same with room for roots of so many blocks.
    pub(crate) fn flashed_with_room(release: &Release, blocks: u64) -> Self {
        let bytes = |bytes: u64| vec![0; usize::try_from(bytes).unwrap()];
        let geometry = Geometry::new(blocks).unwrap();
        let mut areas = BTreeMap::from([
            (Area::BootRecord, vec![0; 2 * SECTOR]),
            (Area::LoaderConfig, LoaderConf::plain(Slot::A).to_bytes().to_vec()),
        ]);
        for slot in Slot::ALL {
            areas.insert(Area::Boot(slot), vec![0; 12 * BLOCK_BYTES]);
            areas.insert(Area::Root(slot), bytes(geometry.data_bytes()));
            areas.insert(
                Area::Verity(slot),
                bytes(geometry.partition_bytes() + BLOCK_BYTES as u64),
            );
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

    /// The same for a board whose loader reads the boot record itself: it has no configuration.
    pub(crate) fn flashed_for_uboot(release: &Release) -> Self {
        let mut disk = Self::flashed(release);
        disk.areas.remove(&Area::LoaderConfig);
        disk.medium.clone_from(&disk.areas);
        disk
    }

    pub(crate) fn is_uboot(&self) -> bool {
        !self.areas.contains_key(&Area::LoaderConfig)
    }

    pub(crate) fn content(&self, area: Area) -> &[u8] {
        &self.areas[&area]
    }

    pub(crate) fn flip(&mut self, area: Area, at: u64) {
        for content in [&mut self.areas, &mut self.medium] {
            content.get_mut(&area).unwrap()[usize::try_from(at).unwrap()] ^= 1;
        }
    }

    pub(crate) fn forget_log(&mut self) {
        self.log.0.borrow_mut().clear();
    }

    /// Bytes written to some areas since the log was forgotten.
    pub(crate) fn written(&self, wanted: impl Fn(Area) -> bool) -> u64 {
        let bytes = |event: &Event| match event {
            Event::Write { area, bytes, .. } if wanted(*area) => bytes.len() as u64,
            _ => 0,
        };
        self.log.0.borrow().iter().map(bytes).sum()
    }

    /// Bytes that were read of both slots' payloads.
    pub(crate) fn read_of_payloads(&self) -> u64 {
        let is_payload = |area: &Area| matches!(area, Area::Boot(_) | Area::Root(_));
        let read = self.read.borrow();
        read.iter()
            .filter(|(area, _)| is_payload(area))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// How often it was written to.
    pub(crate) const fn writes(&self) -> usize {
        self.writes
    }

    /// How often it was flushed.
    pub(crate) const fn flushes(&self) -> usize {
        self.flushes
    }

    /// Whether a slot holds all of a release.
    pub(crate) fn holds(&self, slot: Slot, release: &Release) -> bool {
        let tree = release.root_tree().to_bytes();
        let begins = |area: Area, bytes: &[u8]| self.medium[&area].starts_with(bytes);
        begins(Area::Boot(slot), &release.boot)
            && begins(Area::Root(slot), &release.root)
            && begins(Area::Verity(slot), &tree)
    }

    pub(crate) fn assert_holds(&self, slot: Slot, release: &Release) {
        assert!(
            self.holds(slot, release),
            "slot {slot} doesn't hold release {}",
            release.number
        );
    }

    /// The disk after a power cut behind the first `count` events of its log, which began with `before`. Of the writes that
    /// weren't flushed by then, `survives` says for each sector whether it reached the medium.
    pub(crate) fn cut(
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
        *self.read.borrow_mut().entry(area).or_default() += buffer.len() as u64;
        let start = place(area, at);
        let content = areas.get(&area);
        let content = content.and_then(|content| content.get(start..start + buffer.len()));
        buffer.copy_from_slice(content.ok_or_else(|| error("read", area, at))?);
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
        self.areas.get(&area).map_or(0, |content| content.len() as u64)
    }

    fn boot_parts(&self, slot: Slot) -> Result<Option<Payload>, BootPartitionError> {
        // The file system is left out: the first block is the kernel, the rest the initramfs.
        let (kernel, initramfs) = self.medium[&Area::Boot(slot)].split_at(BLOCK_BYTES);
        Ok(self.is_uboot().then(|| Payload::of_files(kernel, initramfs)))
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
pub(crate) struct Memory {
    bytes: RefCell<Vec<u8>>,
    pub(crate) full: bool,
}

impl Scratch for Memory {
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut kept = self.bytes.borrow_mut();
        let start = usize::try_from(at).unwrap();
        let end = kept.len().max(start + bytes.len());
        kept.resize(end, 0);
        kept[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let kept = self.bytes.borrow();
        let start = usize::try_from(at).unwrap();
        let found = kept.get(start..start + buffer.len());
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Nobody is told, and nobody stops it.
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    fn advance(&self, _: Stage, _: u64) {}

    fn checkpoint(&self) -> Result<(), InstallError> {
        Ok(())
    }
}
