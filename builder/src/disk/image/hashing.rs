//! Hashes an image while it is written: the whole on one thread, the mapped ranges on another.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use outcrop_release::digest::FileDigest;
use sha2::{Digest as _, Sha256};

use super::block_map::{BLOCK_BYTES, MappedRange};
use crate::disk::error::DiskError;

/// Pieces that may wait for a thread: at 1 MiB each, what writing may be ahead.
const QUEUE: usize = 16;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The next part of an image.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// Bytes that matter.
    Data(Arc<Vec<u8>>),
    /// This many zero bytes that matter.
    Zeros(u64),
    /// This many zero bytes that don't.
    Gap(u64),
}

/// Both threads.
#[derive(Debug)]
pub(super) struct Hashers {
    total: Worker<FileDigest>,
    ranges: Worker<Vec<MappedRange>>,
}

#[derive(Debug)]
struct Worker<T> {
    pieces: SyncSender<Piece>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Worker<T> {
    fn spawn(work: impl FnOnce(Receiver<Piece>) -> T + Send + 'static) -> Self {
        let (pieces, receiver) = sync_channel(QUEUE);
        Self {
            pieces,
            thread: thread::spawn(move || work(receiver)),
        }
    }

    fn finish(self) -> Result<T, DiskError> {
        drop(self.pieces);
        self.thread.join().map_err(|_| DiskError::Thread)
    }
}

impl Hashers {
    pub(super) fn spawn() -> Self {
        Self {
            total: Worker::spawn(hash_all),
            ranges: Worker::spawn(hash_ranges),
        }
    }

    /// Hands over the next piece; waits while the threads are behind. Pieces are whole blocks.
    pub(super) fn push(&self, piece: &Piece) -> Result<(), DiskError> {
        for worker in [&self.total.pieces, &self.ranges.pieces] {
            worker.send(piece.clone()).map_err(|_| DiskError::Thread)?;
        }
        Ok(())
    }

    /// The digest of all pieces, and the ranges between gaps with theirs.
    pub(super) fn finish(self) -> Result<(FileDigest, Vec<MappedRange>), DiskError> {
        Ok((self.total.finish()?, self.ranges.finish()?))
    }
}

fn hash_all(pieces: Receiver<Piece>) -> FileDigest {
    let mut hash = Sha256::new();
    for piece in pieces {
        match piece {
            Piece::Data(bytes) => hash.update(bytes.as_slice()),
            Piece::Zeros(len) | Piece::Gap(len) => update_zeros(&mut hash, len),
        }
    }
    FileDigest::from_bytes(hash.finalize().into())
}

fn hash_ranges(pieces: Receiver<Piece>) -> Vec<MappedRange> {
    let mut ranges = Vec::new();
    let (mut block, mut open) = (0, None::<(u64, Sha256)>);
    for piece in pieces {
        let len = match &piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Zeros(len) | Piece::Gap(len) => *len,
        };
        match piece {
            Piece::Gap(_) => ranges.extend(open.take().map(|(first, hash)| close(first, block, hash))),
            Piece::Data(bytes) => open
                .get_or_insert_with(|| (block, Sha256::new()))
                .1
                .update(bytes.as_slice()),
            Piece::Zeros(len) => update_zeros(&mut open.get_or_insert_with(|| (block, Sha256::new())).1, len),
        }
        block += len / BLOCK_BYTES;
    }
    ranges.extend(open.map(|(first, hash)| close(first, block, hash)));
    ranges
}

fn close(first: u64, end: u64, hash: Sha256) -> MappedRange {
    MappedRange {
        first,
        last: end - 1,
        digest: FileDigest::from_bytes(hash.finalize().into()),
    }
}

fn update_zeros(hash: &mut Sha256, mut len: u64) {
    while len > 0 {
        let count = usize::try_from(len).unwrap_or(ZEROS.len()).min(ZEROS.len());
        hash.update(&ZEROS[..count]);
        len -= count as u64;
    }
}
