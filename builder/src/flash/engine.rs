//! The steps, from the first byte to the last.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    thread,
};

use outcrop_release::{
    arch::Architecture, board::Board, device_config::FILE_NAME, digest::FileDigest, fat::FatReader,
    partition::Partition, read_at::Window, slot::Slot,
};
use serde::Serialize;

use super::{
    buffer::{ALIGNMENT, AlignedBuffer},
    bytes::{Head, OnMedium},
    error::FlashError,
    pipe::{Reader, head_part, write_all},
    source::{Image, Sidecars},
    table::{personal, random_guid},
    target::Target,
};
use crate::{
    disk::{
        gpt::{Gpt, PRIMARY_BYTES},
        image::BLOCK_BYTES,
        units::{Extent, MIB},
    },
    progress::{Progress, Unit},
    sha256::Sha256,
};

/// What the image begins with, and what goes on last: the partition table, up to the first partition.
const HEAD_BYTES: u64 = MIB;
/// What is written at once.
pub(super) const CHUNK_BYTES: usize = 4 << 20;
/// Chunks between the one who reads and the one who writes.
const CHUNKS: usize = 4;

/// Whether the medium is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// All that was written.
    ReadBack,
    /// Only the beginning, which decides whether it boots.
    Head,
}

/// One medium to flash.
pub struct Flash<'a> {
    /// The image's name, for errors.
    pub image: &'a str,
    /// What lies beside it.
    pub sidecars: &'a Sidecars,
    /// The medium's name, for errors.
    pub path: &'a Path,
    /// Whether to read back.
    pub verify: Verify,
    /// The device's own configuration, for partition 1.
    pub configuration: Option<&'a [u8]>,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The medium.
    pub device: PathBuf,
    /// Bytes that were written.
    pub written: u64,
    /// Bytes that were read back.
    pub verified: u64,
    /// GUID of the disk.
    pub disk: String,
    /// Who signed the image; empty when nobody was asked for.
    pub signers: Vec<String>,
}

/// A range of the image, and what its bytes sum up to.
pub(super) struct Written {
    pub(super) extent: Extent,
    pub(super) digest: FileDigest,
}

impl Flash<'_> {
    /// Writes the image.
    ///
    /// # Errors
    /// Whatever fails. Unless nothing was written, the medium then doesn't look bootable.
    pub fn run(&self, image: &mut dyn Image, target: &mut dyn Target) -> Result<Report, FlashError> {
        let mut head = vec![0; usize::try_from(HEAD_BYTES).unwrap_or(0)];
        let count = image.fill(&mut head).map_err(|source| self.unreadable(source))?;
        let table = self.table(head.get(..count).unwrap_or_default())?;
        let image_bytes = table.sectors * outcrop_release::units::SECTOR;
        target
            .make_room(image_bytes)
            .map_err(self.failed("make room in"))?;
        if target.len() < image_bytes {
            return Err(FlashError::TooSmall {
                path: self.path.to_owned(),
                bytes: target.len(),
                needed: image_bytes,
            });
        }
        self.announced(image_bytes)?;
        let own = self.own_table(&table, target.len())?;
        self.wipe(target)?;
        let ranges = self.stream(image, &head, image_bytes, target)?;
        self.flush(target)?;
        let verified = match self.verify {
            Verify::ReadBack => self.read_back(&ranges, &head, target)?,
            Verify::Head => 0,
        };
        self.configure(&own, target)?;
        let head_bytes = self.finish(&own, &head, target)?;
        let mapped: u64 = ranges.iter().map(|range| range.extent.len).sum();
        Ok(Report {
            device: self.path.to_owned(),
            written: mapped,
            verified: verified + head_bytes,
            disk: own.disk.to_string(),
            signers: self.sidecars.signers.clone(),
        })
    }

    pub(super) fn unreadable(&self, source: io::Error) -> FlashError {
        FlashError::Image {
            image: self.image.to_owned(),
            source,
        }
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> FlashError {
        let path = self.path.to_owned();
        move |source| FlashError::Target { doing, path, source }
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> FlashError {
        FlashError::Damaged {
            image: self.image.to_owned(),
            what: what.into(),
        }
    }

    /// The table of an image that Outcrop made, for a machine that there can be.
    fn table(&self, head: &[u8]) -> Result<Gpt, FlashError> {
        let head = Head(head);
        let table = Gpt::read(&head).map_err(|source| FlashError::NoImage {
            image: self.image.to_owned(),
            source,
        })?;
        let other = |why: String| FlashError::OtherImage {
            image: self.image.to_owned(),
            why,
        };
        let board = match table.entry(Partition::Boot(Slot::A).number()) {
            Some(_) => Board::Rpi,
            None => Board::Efi,
        };
        let root = table.entry(Partition::Root(Slot::A).number());
        let architecture = Architecture::ALL
            .into_iter()
            .find(|arch| root.is_some_and(|root| root.type_guid == arch.root_type()))
            .ok_or_else(|| other("partition 5 is of no architecture that Outcrop knows".to_owned()))?;
        for partition in Partition::of(board) {
            let entry = table.entry(partition.number());
            if entry.is_none_or(|entry| entry.label != partition.label() || entry.extent.start < HEAD_BYTES) {
                return Err(other(format!(
                    "partition {} isn't {}",
                    partition.number(),
                    partition.label()
                )));
            }
        }
        if !board.runs(architecture) {
            return Err(FlashError::WrongBoard {
                image: self.image.to_owned(),
                board: board.as_str(),
                architecture: architecture.as_str(),
            });
        }
        Ok(table)
    }

    /// Whether map and manifest are of an image of that length.
    fn announced(&self, image_bytes: u64) -> Result<(), FlashError> {
        let map = self.sidecars.map.as_ref().map(|map| map.image_bytes);
        let manifest = self.sidecars.image.as_ref().map(|image| image.bytes);
        if map.is_some_and(|bytes| bytes != image_bytes) {
            return Err(FlashError::OtherMap(self.image.to_owned()));
        }
        if manifest.is_some_and(|bytes| bytes != image_bytes) {
            return Err(self.damaged("its partition table is of another length than its manifest"));
        }
        Ok(())
    }

    fn own_table(&self, table: &Gpt, bytes: u64) -> Result<Gpt, FlashError> {
        let mut failed = None;
        let random = || {
            random_guid().unwrap_or_else(|error| {
                failed = Some(error);
                uuid::Uuid::nil()
            })
        };
        let own = personal(table, bytes, random);
        if let Some(error) = failed {
            return Err(FlashError::Random(io::Error::other(error)));
        }
        own.ok_or_else(|| FlashError::OtherImage {
            image: self.image.to_owned(),
            why: "its data partition isn't the last one".to_owned(),
        })
    }

    /// Takes away what firmware and kernel would take for a bootable disk: the table at either end.
    fn wipe(&self, target: &mut dyn Target) -> Result<(), FlashError> {
        let zeros = AlignedBuffer::new(usize::try_from(HEAD_BYTES).unwrap_or(0));
        let len = target.len() - target.len() % ALIGNMENT as u64;
        let tail = len.saturating_sub(HEAD_BYTES).max(HEAD_BYTES);
        let tail_len = usize::try_from(len - tail.min(len)).unwrap_or(0);
        let tail_bytes = zeros.bytes().get(..tail_len).unwrap_or_default();
        target
            .write(0, zeros.bytes())
            .and_then(|()| target.write(tail, tail_bytes))
            .map_err(self.failed("erase the beginning of"))?;
        self.flush(target)
    }

    fn flush(&self, target: &mut dyn Target) -> Result<(), FlashError> {
        target.flush().map_err(self.failed("bring everything to"))
    }

    /// What must be written: the map's ranges, or everything.
    fn wanted(&self, image_bytes: u64) -> Vec<(Extent, Option<FileDigest>)> {
        let Some(map) = &self.sidecars.map else {
            let all = Extent {
                start: 0,
                len: image_bytes,
            };
            return vec![(all, None)];
        };
        map.ranges
            .iter()
            .map(|range| {
                let start = range.first * BLOCK_BYTES;
                let end = ((range.last + 1) * BLOCK_BYTES).min(image_bytes);
                (
                    Extent {
                        start,
                        len: end - start,
                    },
                    Some(range.digest),
                )
            })
            .collect()
    }

    /// Reads the image and has another thread write it; returns what was written. The head isn't.
    fn stream(
        &self,
        image: &mut dyn Image,
        head: &[u8],
        image_bytes: u64,
        target: &mut dyn Target,
    ) -> Result<Vec<Written>, FlashError> {
        let wanted = self.wanted(image_bytes);
        let total = wanted.iter().map(|(extent, _)| extent.len).sum();
        let phase = self.progress.phase("write the image", Some(total), Unit::Bytes);
        let (full, filled) = sync_channel::<(u64, AlignedBuffer)>(CHUNKS);
        let (spare, empty) = sync_channel::<AlignedBuffer>(CHUNKS);
        for _ in 0..CHUNKS {
            // Nobody has hung up yet, and there is room.
            let _ = spare.send(AlignedBuffer::new(CHUNK_BYTES));
        }
        thread::scope(|scope| {
            let writer = scope.spawn(move || write_all(target, &filled, &spare));
            let mut reader = Reader {
                flash: self,
                image,
                head,
                at: HEAD_BYTES.min(image_bytes),
                full,
                empty,
                phase: phase.as_ref(),
            };
            let read = reader.run(&wanted, image_bytes);
            drop(reader);
            let written = writer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            written.map_err(self.failed("write to"))?;
            read
        })
    }

    /// Compares the medium with what was written, but for the head.
    fn read_back(&self, ranges: &[Written], head: &[u8], target: &dyn Target) -> Result<u64, FlashError> {
        let total = ranges.iter().map(|range| range.extent.len).sum();
        let phase = self.progress.phase("read back", Some(total), Unit::Bytes);
        let mut buffer = vec![0; CHUNK_BYTES];
        for Written { extent, digest } in ranges {
            let mut hash = Sha256::new();
            let mut at = extent.start;
            while at < extent.end() {
                phase.checkpoint()?;
                let len = usize::try_from(extent.end() - at)
                    .unwrap_or(CHUNK_BYTES)
                    .min(CHUNK_BYTES);
                let from_head = head_part(head, at, len);
                let count = if let Some(bytes) = from_head {
                    hash.update(bytes);
                    bytes.len()
                } else {
                    let whole = len.next_multiple_of(ALIGNMENT);
                    let chunk = buffer.get_mut(..whole).unwrap_or_default();
                    target.read(at, chunk).map_err(self.failed("read back"))?;
                    hash.update(chunk.get(..len).unwrap_or_default());
                    len
                };
                at += count as u64;
                phase.advance(count as u64);
            }
            if FileDigest::from_bytes(hash.finish()) != *digest {
                return Err(FlashError::Unfaithful {
                    path: self.path.to_owned(),
                    at: extent.start,
                });
            }
        }
        Ok(total)
    }

    /// Writes the device's configuration over the place that the image has for it.
    fn configure(&self, table: &Gpt, target: &mut dyn Target) -> Result<(), FlashError> {
        let Some(text) = self.configuration else {
            return Ok(());
        };
        let no_place = || FlashError::NoPlace { needed: text.len() };
        let esp = table.entry(Partition::Esp.number()).ok_or_else(no_place)?.extent;
        let place = {
            let medium = OnMedium(target);
            let window = Window::new(medium, esp.start, esp.len)
                .map_err(|error| FlashError::Configuration(error.into()))?;
            let fat = FatReader::open(window).map_err(FlashError::Configuration)?;
            let entry = fat.find(FILE_NAME).map_err(FlashError::Configuration)?;
            let entry = entry.ok_or_else(no_place)?;
            match fat.extents(&entry).map_err(FlashError::Configuration)?.as_slice() {
                [only] => *only,
                _ => return Err(no_place()),
            }
        };
        let len = usize::try_from(place.len).unwrap_or(0);
        if text.len() > len {
            return Err(no_place());
        }
        // Whole pages: what lies beside the file stays as it is.
        let page = ALIGNMENT as u64;
        let at = esp.start + place.start;
        let start = at - at % page;
        let skip = usize::try_from(at - start).unwrap_or(0);
        let mut buffer = AlignedBuffer::new((skip + len).next_multiple_of(ALIGNMENT));
        target
            .read(start, buffer.bytes_mut())
            .map_err(self.failed("read partition 1 of"))?;
        if let Some(place) = buffer.bytes_mut().get_mut(skip..skip + len) {
            let (head, rest) = place.split_at_mut(text.len());
            head.copy_from_slice(text);
            rest.fill(b'\n');
        }
        target
            .write(start, buffer.bytes())
            .map_err(self.failed("write device.toml to"))?;
        self.flush(target)
    }

    /// The table at the end, then the one at the beginning, with which the medium is a disk.
    fn finish(&self, own: &Gpt, head: &[u8], target: &mut dyn Target) -> Result<u64, FlashError> {
        let end = own.sectors * outcrop_release::units::SECTOR;
        let backup = own.backup();
        // Whole pages: what lies before the table there is nobody's.
        let start = (end - backup.len() as u64) / ALIGNMENT as u64 * ALIGNMENT as u64;
        let mut tail =
            AlignedBuffer::new(usize::try_from(end.next_multiple_of(ALIGNMENT as u64) - start).unwrap_or(0));
        let skip = usize::try_from(end - start).unwrap_or(0) - backup.len();
        if let Some(place) = tail.bytes_mut().get_mut(skip..skip + backup.len()) {
            place.copy_from_slice(&backup);
        }
        tail.set_len(usize::try_from(end - start).unwrap_or(0));
        let mut first = AlignedBuffer::copy_of(head);
        let is_hybrid = head.get(450).is_some_and(|kind| *kind != 0xee);
        let primary = own.primary();
        // The first 512 bytes: a hybrid MBR names partition 1 by place and length, which stay.
        let from = if is_hybrid { 512 } else { 0 };
        if let (Some(place), Some(table)) = (
            first.bytes_mut().get_mut(from..PRIMARY_BYTES),
            primary.get(from..),
        ) {
            place.copy_from_slice(table);
        }
        target
            .write(start, tail.bytes())
            .map_err(self.failed("write the partition table of"))?;
        self.flush(target)?;
        target
            .write(0, first.bytes())
            .map_err(self.failed("write the partition table of"))?;
        self.flush(target)?;
        for (at, wanted) in [(0, &first), (start, &tail)] {
            let mut found = vec![0; wanted.bytes().len()];
            target.read(at, &mut found).map_err(self.failed("read back"))?;
            if found != wanted.bytes() {
                return Err(FlashError::Unfaithful {
                    path: self.path.to_owned(),
                    at,
                });
            }
        }
        if let Err(error) = target.reread_table() {
            self.progress.note(&format!(
                "the kernel doesn't see the new partitions yet ({error}): unplug it and plug it in again"
            ));
        }
        Ok((first.bytes().len() + tail.bytes().len()) as u64)
    }
}

#[cfg(test)]
mod tests;
