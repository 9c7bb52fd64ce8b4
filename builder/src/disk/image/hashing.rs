//! Hashes an image while it is written: the whole from the pieces as they come, the mapped ranges from the file.
//!
//! The digest of the whole has to see every byte in order, gaps too: nothing else of a build takes as long on one
//! processor. So its thread gets each piece at once, and the ranges are read back from the file when they are complete, while
//! that thread is still busy with the zeros of the empty slot.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
};

use outcrop_release::digest::FileDigest;

use super::block_map::{BLOCK_BYTES, MappedRange};
use crate::disk::{error::DiskError, units::Extent};
use crate::sha256::Sha256;

/// Pieces that may wait for the thread: at 1 MiB each, what writing may be ahead.
const QUEUE: usize = 16;
/// What is read back at a time.
const CHUNK_BYTES: u64 = 1 << 20;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The next part of an image.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes that matter.
    Data(Arc<Vec<u8>>),
    /// This many zero bytes.
    Zeros(u64),
}

/// The thread that hashes the whole.
#[derive(Debug)]
pub(super) struct TotalHasher {
    pieces: SyncSender<Piece>,
    thread: JoinHandle<FileDigest>,
}

impl TotalHasher {
    pub(super) fn spawn() -> Self {
        let (pieces, receiver) = sync_channel(QUEUE);
        Self {
            pieces,
            thread: thread::spawn(move || hash_all(receiver)),
        }
    }

    /// Hands over the next piece; waits while the thread is behind.
    pub(super) fn push(&self, piece: Piece) -> Result<(), DiskError> {
        self.pieces.send(piece).map_err(|_| DiskError::Thread)
    }

    pub(super) fn finish(self) -> Result<FileDigest, DiskError> {
        drop(self.pieces);
        self.thread.join().map_err(|_| DiskError::Thread)
    }
}

fn hash_all(pieces: Receiver<Piece>) -> FileDigest {
    let mut hash = Sha256::new();
    for piece in pieces {
        match piece {
            Piece::Data(bytes) => hash.update(bytes.as_slice()),
            Piece::Zeros(len) => update_zeros(&mut hash, len),
        }
    }
    FileDigest::from_bytes(hash.finish())
}

fn update_zeros(hash: &mut Sha256, mut len: u64) {
    while len > 0 {
        let count = usize::try_from(len).unwrap_or(ZEROS.len()).min(ZEROS.len());
        hash.update(&ZEROS[..count]);
        len -= count as u64;
    }
}

/// The thread that hashes the mapped ranges.
#[derive(Debug)]
pub(super) struct RangeHasher {
    ranges: Sender<Extent>,
    thread: JoinHandle<io::Result<Vec<MappedRange>>>,
}

impl RangeHasher {
    /// `file` is the image, which holds a range before that is pushed.
    pub(super) fn spawn(file: File) -> Self {
        let (ranges, receiver) = channel();
        Self {
            ranges,
            thread: thread::spawn(move || hash_ranges(&file, receiver)),
        }
    }

    /// Hands over a complete range, in whole blocks.
    pub(super) fn push(&self, range: Extent) -> Result<(), DiskError> {
        self.ranges.send(range).map_err(|_| DiskError::Thread)
    }

    /// The digests of all ranges; an error is about reading the image.
    pub(super) fn finish(self) -> Result<io::Result<Vec<MappedRange>>, DiskError> {
        drop(self.ranges);
        self.thread.join().map_err(|_| DiskError::Thread)
    }
}

/// Takes all ranges, even when one can't be read: who hands them over hears of it at the end.
fn hash_ranges(file: &File, ranges: Receiver<Extent>) -> io::Result<Vec<MappedRange>> {
    let mut hashed = Ok(Vec::new());
    for range in ranges {
        hashed = hashed.and_then(|mut done: Vec<MappedRange>| {
            done.push(hash_range(file, range)?);
            Ok(done)
        });
    }
    hashed
}

fn hash_range(file: &File, range: Extent) -> io::Result<MappedRange> {
    let mut hash = Sha256::new();
    let mut buffer = Vec::new();
    let mut at = range.start;
    while at < range.end() {
        let count = CHUNK_BYTES.min(range.end() - at);
        buffer.resize(usize::try_from(count).unwrap_or_default(), 0);
        file.read_exact_at(&mut buffer, at)?;
        hash.update(&buffer);
        at += count;
    }
    Ok(MappedRange {
        first: range.start / BLOCK_BYTES,
        last: range.end() / BLOCK_BYTES - 1,
        digest: FileDigest::from_bytes(hash.finish()),
    })
}
