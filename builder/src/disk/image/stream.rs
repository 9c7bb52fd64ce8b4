//! Writes an image from start to end.

use std::{
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use outcrop_release::digest::FileDigest;

use super::{
    block_map::{BLOCK_BYTES, BlockMap},
    hashing::{Piece, RangeHasher, TotalHasher},
};
use crate::{
    disk::{error::DiskError, units::Extent},
    output::PendingFile,
};

/// Zeros in whole pieces of this length stay holes of the file.
const HOLE_BYTES: usize = 64 * 1024;

/// An image on its way. Everything is written in ascending order, in whole blocks; what is passed over is zero and
/// not in the block map.
#[derive(Debug)]
pub(in crate::disk) struct ImageStream {
    pending: PendingFile,
    target: PathBuf,
    len: u64,
    position: u64,
    /// Start of what is mapped up to `position`.
    open: Option<u64>,
    total: TotalHasher,
    ranges: RangeHasher,
}

/// A complete image that has no name yet.
#[derive(Debug)]
pub(in crate::disk) struct Written {
    pub(in crate::disk) pending: PendingFile,
    pub(in crate::disk) digest: FileDigest,
    pub(in crate::disk) map: BlockMap,
}

impl ImageStream {
    /// Begins an image of `len` bytes that will be called `target`.
    pub(in crate::disk) fn create(target: &Path, len: u64) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Io {
            doing: "create",
            path: target.to_owned(),
            source,
        };
        let pending = PendingFile::create(target).map_err(failed)?;
        pending.file().set_len(len).map_err(failed)?;
        let reader = pending.file().try_clone().map_err(failed)?;
        Ok(Self {
            pending,
            target: target.to_owned(),
            len,
            position: 0,
            open: None,
            total: TotalHasher::spawn(),
            ranges: RangeHasher::spawn(reader),
        })
    }

    /// Writes `bytes` at `at`, which is not before anything written earlier. The rest of the last block is zero.
    pub(in crate::disk) fn write(&mut self, at: u64, mut bytes: Vec<u8>) -> Result<(), DiskError> {
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        let bytes = Arc::new(bytes);
        self.pass_to(at, bytes.len() as u64)?;
        for (piece, offset) in bytes.chunks(HOLE_BYTES).zip((at..).step_by(HOLE_BYTES)) {
            if piece.iter().any(|&byte| byte != 0) {
                self.pending
                    .file()
                    .write_all_at(piece, offset)
                    .map_err(|source| self.failed(source))?;
            }
        }
        self.position = at + bytes.len() as u64;
        self.total.push(Piece::Data(bytes))
    }

    /// Says that `extent` is zero, and must be zero on the medium too.
    pub(in crate::disk) fn zeros(&mut self, extent: Extent) -> Result<(), DiskError> {
        if extent.len == 0 {
            return Ok(());
        }
        self.pass_to(extent.start, extent.len)?;
        self.position = extent.end();
        self.total.push(Piece::Zeros(extent.len))
    }

    /// Where the next byte goes when nothing is passed over.
    pub(in crate::disk) const fn position(&self) -> u64 {
        self.position
    }

    /// Starts to bring what was written to the medium, and waits for it; more can be written meanwhile.
    pub(in crate::disk) fn sync(&self) -> Result<(), DiskError> {
        self.pending
            .file()
            .sync_data()
            .map_err(|source| self.failed(source))
    }

    /// Moves on to `at`, where `len` bytes follow.
    fn pass_to(&mut self, at: u64, len: u64) -> Result<(), DiskError> {
        let gap = at.checked_sub(self.position);
        let fits = at.checked_add(len).is_some_and(|end| end <= self.len);
        match gap.filter(|_| fits && at.is_multiple_of(BLOCK_BYTES) && len.is_multiple_of(BLOCK_BYTES)) {
            Some(0) => {}
            Some(gap) => {
                self.close()?;
                self.total.push(Piece::Zeros(gap))?;
            }
            None => return Err(self.failed(io::ErrorKind::InvalidInput.into())),
        }
        if len > 0 {
            self.open.get_or_insert(at);
        }
        Ok(())
    }

    /// Ends the mapped range that ends here, if there is one.
    fn close(&mut self) -> Result<(), DiskError> {
        self.open.take().map_or(Ok(()), |start| {
            self.ranges.push(Extent {
                start,
                len: self.position - start,
            })
        })
    }

    /// Ends the image and waits for the digests.
    pub(in crate::disk) fn finish(mut self) -> Result<Written, DiskError> {
        self.pass_to(self.len, 0)?;
        self.close()?;
        let unreadable = |source| DiskError::Io {
            doing: "read back",
            path: self.target.clone(),
            source,
        };
        let ranges = self.ranges.finish()?.map_err(unreadable)?;
        let digest = self.total.finish()?;
        Ok(Written {
            pending: self.pending,
            digest,
            map: BlockMap {
                image_bytes: self.len,
                ranges,
            },
        })
    }

    fn failed(&self, source: io::Error) -> DiskError {
        DiskError::Io {
            doing: "write",
            path: self.target.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::image::MappedRange;

    const MIB: u64 = 1 << 20;

    fn written(write: impl FnOnce(&mut ImageStream)) -> (Vec<u8>, Written) {
        let folder = tempfile::tempdir().unwrap();
        let mut stream = ImageStream::create(&folder.path().join("x.img"), 2 * MIB).unwrap();
        write(&mut stream);
        let written = stream.finish().unwrap();
        (std::fs::read(written.pending.path()).unwrap(), written)
    }

    #[test]
    fn the_digest_is_that_of_the_file_and_ranges_are_what_was_written() {
        let (bytes, written) = written(|stream| {
            stream.write(4096, vec![1; 5000]).unwrap();
            stream
                .zeros(Extent {
                    start: 12288,
                    len: 4096,
                })
                .unwrap();
            stream.write(MIB, vec![2; 300_000]).unwrap();
        });
        assert_eq!(written.digest, FileDigest::of(&bytes));
        let range = |first: u64, last: u64| {
            let part =
                &bytes[usize::try_from(first * 4096).unwrap()..usize::try_from((last + 1) * 4096).unwrap()];
            MappedRange {
                first,
                last,
                digest: FileDigest::of(part),
            }
        };
        assert_eq!(written.map.ranges, [range(1, 3), range(256, 256 + 73)]);
        assert_eq!(written.map.mapped_bytes(), (3 + 74) * 4096);
    }

    #[test]
    fn going_back_leaving_the_image_and_odd_places_are_refused() {
        written(|stream| {
            stream.write(8192, vec![1; 4096]).unwrap();
            for at in [4096, 8192, 12289, 2 * MIB, u64::MAX - 4095] {
                assert!(
                    matches!(stream.write(at, vec![1; 4096]), Err(DiskError::Io { .. })),
                    "{at}"
                );
            }
            stream.write(12288, vec![1; 1]).unwrap();
        });
    }

    #[test]
    fn what_is_zero_stays_a_hole() {
        use std::os::unix::fs::MetadataExt as _;
        let (_, written) = written(|stream| stream.write(0, vec![0; 1 << 20]).unwrap());
        assert_eq!(written.pending.file().metadata().unwrap().blocks(), 0);
        assert_eq!(written.map.mapped_bytes(), MIB);
    }
}
