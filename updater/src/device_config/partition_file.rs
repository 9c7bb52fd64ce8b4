//! `device.toml` on partition 1, past every mount: read by the FAT, and overwritten only where its own bytes lie.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use outcrop_release::{
    device_config::{FILE_NAME, Found, MAX_BYTES},
    fat::{FatError, FatReader},
    read_at::ReadAt,
    units::Extent,
};

use super::Medium;
use crate::block_disk::DirectFile;

/// What stands in place of a secret.
const BLANK: u8 = b'*';

/// The file can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PartitionFileError {
    /// The disk hasn't got the partition.
    #[error("look for {FILE_NAME}: the disk has no partition 1 of Outcrop's")]
    NoPartition,
    /// The partition, or the file in it.
    #[error("{doing} {FILE_NAME} on {}", partition.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The partition.
        partition: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file system.
    #[error("find {FILE_NAME} on {}", partition.display())]
    Fat {
        /// The partition.
        partition: PathBuf,
        /// Why it failed.
        source: FatError,
    },
}

/// The file on a partition.
#[derive(Debug, Clone)]
pub struct PartitionFile {
    partition: Option<PathBuf>,
}

impl PartitionFile {
    /// On `partition`, a block device or an image of one; none when the disk hasn't got it.
    #[must_use]
    pub const fn new(partition: Option<PathBuf>) -> Self {
        Self { partition }
    }

    fn partition(&self) -> Result<&Path, PartitionFileError> {
        self.partition.as_deref().ok_or(PartitionFileError::NoPartition)
    }

    /// Where the file's first bytes lie on the partition, in its order; none when there is no such file.
    fn extents(partition: &Path, bytes: &Bytes) -> Result<Option<Vec<Extent>>, PartitionFileError> {
        let failed = |source| PartitionFileError::Fat {
            partition: partition.to_owned(),
            source,
        };
        let fat = FatReader::open(bytes).map_err(failed)?;
        let entry = fat.find(FILE_NAME).map_err(failed)?;
        let Some(mut entry) = entry.filter(|entry| !entry.is_folder) else {
            return Ok(None);
        };
        // One byte more than is read: then it is known to be too long.
        entry.len = entry.len.min(u32::try_from(MAX_BYTES).unwrap_or(u32::MAX) + 1);
        fat.extents(&entry).map(Some).map_err(failed)
    }

    fn read_file(partition: &Path) -> Result<Found, PartitionFileError> {
        let failed = failed("read", partition);
        let bytes = Bytes::open(partition).map_err(failed)?;
        let Some(extents) = Self::extents(partition, &bytes)? else {
            return Ok(Found::Missing);
        };
        let mut content = Vec::new();
        for extent in extents {
            let len = usize::try_from(extent.len).unwrap_or(0);
            content.extend(bytes.read_vec(extent.start, len).map_err(failed)?);
        }
        Ok(Found::File(content))
    }

    fn blank_file(partition: &Path, ranges: &[Range<usize>]) -> Result<(), PartitionFileError> {
        let failed = failed("blank secrets in", partition);
        let bytes = Bytes::open(partition).map_err(failed)?;
        let extents = Self::extents(partition, &bytes)?.unwrap_or_default();
        let direct = DirectFile::open(partition, File::options().read(true).write(true)).map_err(failed)?;
        for range in ranges {
            for piece in pieces(&extents, range) {
                let blanks = vec![BLANK; usize::try_from(piece.len).unwrap_or(0)];
                direct.write(piece.start, &blanks).map_err(failed)?;
                direct.sync().map_err(failed)?;
                let mut now = vec![0; blanks.len()];
                direct.read(piece.start, &mut now).map_err(failed)?;
                if now != blanks {
                    return Err(failed(io::Error::other("it reads as something else afterwards")));
                }
            }
        }
        Ok(())
    }
}

impl Medium for PartitionFile {
    fn read(&self) -> Result<Found, PartitionFileError> {
        Self::read_file(self.partition()?)
    }

    fn blank(&self, ranges: &[Range<usize>]) -> Result<(), PartitionFileError> {
        Self::blank_file(self.partition()?, ranges)
    }
}

fn failed<'p>(
    doing: &'static str,
    partition: &'p Path,
) -> impl Fn(io::Error) -> PartitionFileError + Copy + 'p {
    move |source| PartitionFileError::File {
        doing,
        partition: partition.to_owned(),
        source,
    }
}

/// Where the bytes `range` of a file lie that lies in `extents`.
pub(super) fn pieces(extents: &[Extent], range: &Range<usize>) -> Vec<Extent> {
    let (start, end) = (range.start as u64, range.end as u64);
    let mut pieces = Vec::new();
    let mut before = 0;
    for extent in extents {
        let (from, to) = (start.max(before), end.min(before + extent.len));
        if from < to {
            pieces.push(Extent {
                start: extent.start + (from - before),
                len: to - from,
            });
        }
        before += extent.len;
    }
    pieces
}

/// A partition's bytes.
struct Bytes {
    file: File,
    len: u64,
}

impl Bytes {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, len })
    }
}

impl ReadAt for Bytes {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}
