//! Streams that are decompressed ahead, beside whoever uses them: LZMA takes a processor for itself, and hashing, reading and writing
//! go on meanwhile.

use std::{
    io::{self, Read},
    mem,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::Scope,
};

/// Bytes that are handed over at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait, beside the one that is made and the one that is used.
const WAITING: usize = 8;

/// What comes out of a stream.
pub(super) struct Ahead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Ahead {
    /// Reads `stream` in a thread of its own, which ends with the stream, or when nobody wants more of it.
    pub(super) fn new<'scope>(scope: &'scope Scope<'scope, '_>, stream: impl Read + Send + 'scope) -> Self {
        let (to_us, pieces) = sync_channel(WAITING);
        scope.spawn(move || hand_over(stream, &to_us));
        Self {
            pieces,
            piece: io::Cursor::default(),
        }
    }
}

fn hand_over(mut stream: impl Read, to_us: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = stream.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece);
        let is_last = piece.len() < PIECE_BYTES;
        // What came before a fault is good.
        let is_wanted = to_us.send(Ok(mem::take(&mut piece))).is_ok();
        if let Err(error) = read {
            let _ = to_us.send(Err(error));
            return;
        }
        if is_last || !is_wanted {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.pieces.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece?),
                Err(_) => return Ok(0), // it ended
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Gives bytes until it fails.
    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let count = self.0.min(buffer.len()).min(1000);
            buffer[..count].fill(7);
            self.0 -= count;
            Ok(count)
        }
    }

    #[test]
    fn a_stream_comes_out_as_it_is_however_long_it_is() {
        for len in [
            0,
            1,
            PIECE_BYTES - 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            10 * PIECE_BYTES + 5,
        ] {
            let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut found = Vec::new();
            thread::scope(|scope| {
                Ahead::new(scope, bytes.as_slice())
                    .read_to_end(&mut found)
                    .unwrap();
            });
            assert!(found == bytes, "{len}");
        }
    }

    #[test]
    fn what_comes_before_a_fault_is_good_and_the_fault_is_told() {
        for good in [0, 5, PIECE_BYTES, 3 * PIECE_BYTES + 1] {
            let mut found = Vec::new();
            let error = thread::scope(|scope| {
                Ahead::new(scope, Failing(good))
                    .read_to_end(&mut found)
                    .unwrap_err()
            });
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(found, vec![7; good]);
        }
    }

    #[test]
    fn a_stream_without_end_that_nobody_wants_more_of_ends() {
        thread::scope(|scope| {
            let mut ahead = Ahead::new(scope, io::repeat(1));
            ahead.read_exact(&mut [0; 10]).unwrap();
        });
    }
}
