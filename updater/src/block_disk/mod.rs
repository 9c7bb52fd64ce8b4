//! The boot disk's areas on a real block device, or in an image of one.
//!
//! The whole disk is opened once: locked, so that udev leaves it alone, and at the places that its partition table gives. Of partition 1
//! only the bytes of three files are touched, past the file system: their clusters follow each other, as the build made them.

mod direct;
mod locate;

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    num::NonZeroU64,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use outcrop_release::{fat::FatError, units::Extent};
use rustix::fs::{Advice, FlockOperation, fadvise, flock};

pub(crate) use self::direct::DirectFile;
use crate::{
    disk::{Area, Disk, DiskError},
    gpt::GptError,
};

/// Written bytes that are sent to the medium while more is written.
const EARLY_BYTES: u64 = 4 << 20;
/// What lies further from what was written before is sent by itself: nothing between the two shall be forgotten by the kernel.
const NEAR_BYTES: u64 = 32 << 20;

/// What is done with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is looked at.
    Read,
    /// It is changed: nobody else may do so meanwhile.
    Write,
}

/// The disk's areas can't be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk itself.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The disk.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its partition table.
    #[error("read the partition table of {}", path.display())]
    Table {
        /// The disk.
        path: PathBuf,
        /// Why.
        source: GptError,
    },
    /// A partition is missing, or reaches past the disk's end.
    #[error("{} has no whole partition {label}: was it written by `outcrop`?", path.display())]
    Partition {
        /// The disk.
        path: PathBuf,
        /// The partition's label.
        label: &'static str,
    },
    /// The file system of partition 1.
    #[error("find {file} on partition 1 of {}", path.display())]
    Fat {
        /// The disk.
        path: PathBuf,
        /// The file that was looked for.
        file: String,
        /// Why.
        source: FatError,
    },
    /// A file of partition 1 is missing, or isn't in one piece: it can't be overwritten in place.
    #[error(
        "{file} on partition 1 of {} is missing, or in several pieces: partition 1 was changed by hand; flash the disk anew",
        path.display()
    )]
    NotInOnePiece {
        /// The disk.
        path: PathBuf,
        /// The file.
        file: String,
    },
}

/// What was written last, and isn't on its way to the medium yet.
#[derive(Debug, Default)]
struct Written {
    /// Where it lies, with what lies between.
    around: Extent,
    /// How many bytes it is.
    bytes: u64,
}

impl Written {
    /// Takes a write; what shall be sent now.
    fn push(&mut self, start: u64, len: u64) -> Option<Extent> {
        let around = Extent {
            start: self.around.start.min(start),
            len: self.around.end().max(start + len) - self.around.start.min(start),
        };
        let is_near = self.bytes == 0 || around.len <= self.around.len + len + NEAR_BYTES;
        if self.bytes == 0 || !is_near {
            let before = std::mem::take(self).around;
            *self = Self {
                around: Extent { start, len },
                bytes: len,
            };
            return Some(before).filter(|before| before.len > 0);
        }
        self.around = around;
        self.bytes += len;
        if self.bytes < EARLY_BYTES {
            return None;
        }
        Some(std::mem::take(self).around)
    }
}

/// The boot disk.
#[derive(Debug)]
pub struct BlockDisk {
    cached: File,
    /// The same, for a little here and there.
    scattered: File,
    direct: DirectFile,
    places: BTreeMap<Area, Extent>,
    written: Written,
}

impl BlockDisk {
    /// Opens a disk (`/dev/nvme0n1`) or an image of one, and finds its areas.
    ///
    /// # Errors
    /// When it can't be opened as asked, or isn't one of Outcrop's.
    pub fn open(path: &Path, access: Access) -> Result<Self, OpenError> {
        let failed = |doing| {
            move |source| OpenError::File {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        let mut options = File::options();
        options.read(true).write(access == Access::Write);
        let doing = match access {
            Access::Read => "open",
            Access::Write => "open for writing",
        };
        let cached = options.open(path).map_err(failed(doing))?;
        if access == Access::Write {
            // udev looks at a disk only while nobody holds this lock. Source: systemd, "Locking Block Device Access".
            flock(&cached, FlockOperation::LockExclusive).map_err(|errno| failed("lock")(errno.into()))?;
        }
        let scattered = File::open(path).map_err(failed("open"))?;
        // A hint: without it more is read than is asked for.
        let _ = fadvise(&scattered, 0, None, Advice::Random);
        let direct = DirectFile::open(path, &mut options).map_err(failed("open past the page cache"))?;
        let places = locate::areas(path, &cached, direct.sector_bytes())?;
        Ok(Self {
            cached,
            scattered,
            direct,
            places,
            written: Written::default(),
        })
    }

    /// Lets the kernel begin to bring what was written to the medium, and forget it, while more is written: the flush then finds
    /// little to do, and the device's page cache stays with what runs.
    fn send_early(&mut self, start: u64, len: u64) {
        if let Some(sent) = self.written.push(start, len) {
            // A hint: whatever becomes of it, the flush decides.
            let len = NonZeroU64::new(sent.len);
            let _ = fadvise(&self.cached, sent.start, len, Advice::DontNeed);
        }
    }

    /// Where `len` bytes from byte `at` of an area lie on the disk.
    fn place(&self, area: Area, at: u64, len: usize) -> io::Result<u64> {
        let place = self.places.get(&area).ok_or(io::ErrorKind::NotFound)?;
        let end = at.checked_add(len as u64).filter(|end| *end <= place.len);
        end.map(|_| place.start + at).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "past the end of its part of the disk",
            )
        })
    }
}

/// Whether an area is read and written in whole sectors past the page cache: a neighbour of what changes must not be
/// written along with it.
const fn is_by_sector(area: Area) -> bool {
    matches!(area, Area::BootRecord | Area::LoaderConfig)
}

fn failed(doing: &'static str, area: Area, at: u64) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError {
        doing,
        area,
        at,
        source,
    }
}

impl Disk for BlockDisk {
    fn bytes(&self, area: Area) -> u64 {
        self.places.get(&area).map_or(0, |place| place.len)
    }

    fn read(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let mut read = || {
            let place = self.place(area, at, buffer.len())?;
            if is_by_sector(area) {
                self.direct.read(place, buffer)
            } else {
                self.cached.read_exact_at(buffer, place)
            }
        };
        read().map_err(failed("read", area, at))
    }

    fn read_scattered(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        if is_by_sector(area) {
            return self.read(area, at, buffer);
        }
        let place = self.place(area, at, buffer.len());
        place
            .and_then(|place| self.scattered.read_exact_at(buffer, place))
            .map_err(failed("read", area, at))
    }

    fn read_medium(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let place = self.place(area, at, buffer.len());
        place
            .and_then(|place| self.direct.read(place, buffer))
            .map_err(failed("read", area, at))
    }

    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut write = || {
            let place = self.place(area, at, bytes.len())?;
            if is_by_sector(area) {
                return self.direct.write(place, bytes);
            }
            self.cached.write_all_at(bytes, place)?;
            self.send_early(place, bytes.len() as u64);
            Ok(())
        };
        write().map_err(failed("write", area, at))
    }

    fn flush(&mut self, area: Area) -> Result<(), DiskError> {
        // One disk, one cache: whatever was written to any area is on the medium afterwards.
        self.cached.sync_data().map_err(failed("flush", area, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_few_mib_are_sent_at_a_time_wherever_near_each_other_they_lie() {
        let mut written = Written::default();
        let mut sent = Vec::new();
        for number in 0..40 {
            sent.extend(written.push(100 * MIB + number * 2 * MIB, MIB / 2));
        }
        let starts = [0, 1, 2, 3, 4].map(|number| Extent {
            start: (100 + number * 16) * MIB,
            len: 14 * MIB + MIB / 2,
        });
        assert_eq!(sent, starts);
    }

    #[test]
    fn what_lies_far_from_it_is_sent_by_itself() {
        let mut written = Written::default();
        assert_eq!(written.push(1000 * MIB, MIB), None);
        let first = Extent {
            start: 1000 * MIB,
            len: MIB,
        };
        assert_eq!(written.push(10 * MIB, MIB), Some(first));
        assert_eq!(written.push(11 * MIB, MIB), None);
        let both = Extent {
            start: 10 * MIB,
            len: 2 * MIB,
        };
        assert_eq!(written.push(900 * MIB, MIB), Some(both));
    }
}
