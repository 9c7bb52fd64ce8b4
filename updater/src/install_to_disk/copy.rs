//! Bytes from one disk to the other, past the other's page cache, and back again for comparison.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use outcrop_release::{fat::FatReader, read_at::ReadAt, units::Extent};

use super::{CONFIGURATION, Listen, Plan, Range, ToDiskError};
use crate::block_disk::DirectFile;

/// What is read and written at once.
const CHUNK_BYTES: u64 = 4 << 20;

pub(super) struct Copier<'a> {
    pub(super) source: &'a File,
    pub(super) from: &'a Path,
    pub(super) target: &'a DirectFile,
    pub(super) to: &'a Path,
    pub(super) listen: &'a mut dyn Listen,
    pub(super) total: u64,
    pub(super) done: u64,
}

/// The pieces of a range.
fn chunks(range: Extent) -> impl Iterator<Item = Extent> {
    (range.start..range.end())
        .step_by(usize::try_from(CHUNK_BYTES).unwrap_or(1))
        .map(move |start| Extent {
            start,
            len: CHUNK_BYTES.min(range.end() - start),
        })
}

fn buffer(len: u64) -> Vec<u8> {
    vec![0; usize::try_from(len).unwrap_or(0)]
}

impl Copier<'_> {
    pub(super) fn zero(&self, range: Extent) -> Result<(), ToDiskError> {
        for chunk in chunks(range) {
            self.write(chunk.start, &buffer(chunk.len))?;
        }
        Ok(())
    }

    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), ToDiskError> {
        self.target
            .write(at, bytes)
            .map_err(ToDiskError::of("write to", self.to))
    }

    pub(super) fn flush(&self) -> Result<(), ToDiskError> {
        self.target.sync().map_err(ToDiskError::of("flush", self.to))
    }

    pub(super) fn copy(&mut self, range: &Range) -> Result<(), ToDiskError> {
        for chunk in chunks(*range) {
            let bytes = self.read(chunk)?;
            self.write(chunk.start, &bytes)?;
            self.advance("copy", chunk.len)?;
        }
        Ok(())
    }

    /// Reads everything back. What was written in place of something copied is compared with what was written.
    pub(super) fn check(&mut self, plan: &Plan) -> Result<(), ToDiskError> {
        self.done = 0;
        for chunk in plan.copied.iter().flat_map(|range| chunks(*range)) {
            let wanted = self.read(chunk)?;
            self.compare(chunk.start, &wanted)?;
            self.advance("check", chunk.len)?;
        }
        for zeroed in &plan.zeroed {
            if !plan
                .written
                .iter()
                .any(|(at, _)| (zeroed.start..zeroed.end()).contains(at))
            {
                self.compare(zeroed.start, &buffer(zeroed.len))?;
            }
        }
        plan.written
            .iter()
            .try_for_each(|(at, bytes)| self.compare(*at, bytes))
    }

    /// Writes `text` over the configuration on partition 1, which keeps its length. A file that is too short stays as it was copied.
    pub(super) fn configure(&self, partition_1: Extent, text: &str) -> Result<(), ToDiskError> {
        let failed = |source| ToDiskError::Configuration {
            disk: self.to.to_owned(),
            source,
        };
        let fat = FatReader::open(Partition {
            file: self.target,
            place: partition_1,
        })
        .map_err(failed)?;
        let Some(entry) = fat.find(CONFIGURATION).map_err(failed)? else {
            return Ok(());
        };
        let extents = fat.extents(&entry).map_err(failed)?;
        let [place] = extents.as_slice() else {
            return Ok(());
        };
        let mut bytes = text.as_bytes().to_vec();
        if bytes.len() as u64 > place.len {
            return Ok(());
        }
        bytes.resize(buffer(place.len).len(), b'\n');
        let at = partition_1.start + place.start;
        self.write(at, &bytes)?;
        self.flush()?;
        self.compare(at, &bytes)
    }

    fn read(&self, chunk: Extent) -> Result<Vec<u8>, ToDiskError> {
        let mut bytes = buffer(chunk.len);
        self.source
            .read_exact_at(&mut bytes, chunk.start)
            .map_err(ToDiskError::of("read", self.from))?;
        Ok(bytes)
    }

    fn compare(&self, at: u64, wanted: &[u8]) -> Result<(), ToDiskError> {
        let mut found = vec![0; wanted.len()];
        self.target
            .read(at, &mut found)
            .map_err(ToDiskError::of("read back", self.to))?;
        match found
            .iter()
            .zip(wanted)
            .position(|(found, wanted)| found != wanted)
        {
            None => Ok(()),
            Some(wrong) => Err(ToDiskError::Medium {
                disk: self.to.to_owned(),
                at: at + wrong as u64,
            }),
        }
    }

    fn advance(&mut self, doing: &'static str, bytes: u64) -> Result<(), ToDiskError> {
        self.done += bytes;
        if self.listen.advance(doing, self.done, self.total) {
            Ok(())
        } else {
            Err(ToDiskError::Stopped(self.to.to_owned()))
        }
    }
}

/// A partition of the other disk.
struct Partition<'a> {
    file: &'a DirectFile,
    place: Extent,
}

impl ReadAt for Partition<'_> {
    fn len(&self) -> u64 {
        self.place.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read(self.place.start + offset, buffer)
    }
}
