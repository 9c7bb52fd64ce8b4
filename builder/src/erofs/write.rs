//! Writes a planned image from its first byte to its last.
//!
//! One thread reads contents and puts the image together in pieces; the caller's thread writes them. So reading the
//! next piece and writing (or hashing) this one overlap, and memory holds a few pieces, never a file.

use std::{
    io::{Read, Write},
    sync::mpsc::{Receiver, SyncSender, channel, sync_channel},
    thread,
};

use super::{
    ErofsError, Plan,
    plan::{Body, Part, Planned},
};
use crate::{progress::Phase, tree::Content, tree::TreePath};

/// Bytes of a piece: whole blocks.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that wait for the writer.
const PIECES_AHEAD: usize = 4;

impl Plan {
    /// Writes the image to `out`, in order, in pieces of 1 MiB (the last one shorter): [`Plan::size_bytes`] in all.
    /// `phase` advances by bytes.
    ///
    /// # Errors
    /// When a content can't be read, or hasn't the planned length, or `out` fails, or the user asked to stop. Then
    /// `out` holds a part of an image.
    pub fn write(&self, out: &mut dyn Write, phase: &dyn Phase) -> Result<(), ErofsError> {
        let (pieces, ready) = sync_channel::<Piece>(PIECES_AHEAD);
        let (used, recycled) = channel();
        thread::scope(|scope| {
            let producer = scope.spawn(move || {
                let mut assembler = Assembler::new(pieces, recycled);
                match self.assemble(&mut assembler) {
                    // The writer is gone: it has the reason.
                    Err(Stop::Writer) | Ok(()) => Ok(()),
                    Err(Stop::Because(error)) => Err(error),
                }
            });
            let mut offset = 0;
            for piece in ready {
                phase.checkpoint()?;
                out.write_all(piece.bytes())
                    .map_err(|source| ErofsError::Output { offset, source })?;
                offset += piece.filled as u64;
                phase.advance(piece.filled as u64);
                let _ = used.send(piece); // a producer that is done needs no more room
            }
            match producer.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn assemble(&self, out: &mut Assembler) -> Result<(), Stop> {
        out.push(&self.superblock().encode())?;
        for (offset, part) in self.parts() {
            out.zeros_to(offset)?;
            match part {
                Part::Record(planned, place) => {
                    out.push(&self.encode_inode(planned, place))?;
                    let inline = planned.body.size() - place.extent_bytes;
                    self.push_end(out, planned, inline)?;
                }
                Part::Blocks(planned, bytes) => self.push_start(out, planned, bytes)?,
            }
        }
        out.zeros_to(self.size_bytes())?;
        out.finish()
    }

    /// Appends the last `bytes` bytes of an inode's data. Of a file that is all or nothing.
    fn push_end(&self, out: &mut Assembler, planned: &Planned, bytes: u64) -> Result<(), Stop> {
        match &planned.body {
            Body::Directory(listing) => {
                let data = self.encode_listing(listing);
                let start = usize::try_from(planned.body.size() - bytes).unwrap_or(usize::MAX);
                out.push(data.get(start..).unwrap_or_default())
            }
            _ if bytes == 0 => Ok(()),
            _ => self.push_start(out, planned, bytes),
        }
    }

    /// Appends the first `bytes` bytes of an inode's data. Of a file those are all.
    fn push_start(&self, out: &mut Assembler, planned: &Planned, bytes: u64) -> Result<(), Stop> {
        match &planned.body {
            Body::Directory(listing) => {
                let data = self.encode_listing(listing);
                let end = usize::try_from(bytes).unwrap_or(usize::MAX);
                out.push(data.get(..end).unwrap_or_default())
            }
            Body::File(content) => out.push_content(&planned.path, content),
            Body::Symlink(target) => out.push(target.as_bytes()),
        }
    }
}

/// Why assembling ended early.
enum Stop {
    Because(ErofsError),
    /// Nobody takes pieces any more.
    Writer,
}

struct Piece {
    /// Always [`PIECE_BYTES`] long.
    buffer: Vec<u8>,
    filled: usize,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }
}

/// Puts the image together and hands full pieces over.
struct Assembler {
    piece: Piece,
    /// Bytes of the image so far.
    offset: u64,
    pieces: SyncSender<Piece>,
    recycled: Receiver<Piece>,
}

impl Assembler {
    fn new(pieces: SyncSender<Piece>, recycled: Receiver<Piece>) -> Self {
        Self {
            piece: empty_piece(),
            offset: 0,
            pieces,
            recycled,
        }
    }

    /// Room for the next bytes: at least one, at most a piece.
    fn room(&mut self) -> Result<&mut [u8], Stop> {
        if self.piece.filled == PIECE_BYTES {
            self.hand_over()?;
        }
        Ok(self.piece.buffer.get_mut(self.piece.filled..).unwrap_or_default())
    }

    fn hand_over(&mut self) -> Result<(), Stop> {
        let mut next = self.recycled.try_recv().unwrap_or_else(|_| empty_piece());
        next.filled = 0;
        let full = std::mem::replace(&mut self.piece, next);
        self.pieces.send(full).map_err(|_| Stop::Writer)
    }

    fn advance(&mut self, bytes: usize) {
        self.piece.filled += bytes;
        self.offset += bytes as u64;
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            room[..count].copy_from_slice(now);
            bytes = later;
            self.advance(count);
        }
        Ok(())
    }

    fn zeros_to(&mut self, offset: u64) -> Result<(), Stop> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.offset < offset {
            let count = usize::try_from(offset - self.offset).unwrap_or(ZEROS.len());
            self.push(&ZEROS[..count.min(ZEROS.len())])?;
        }
        Ok(())
    }

    fn push_content(&mut self, path: &TreePath, content: &Content) -> Result<(), Stop> {
        let failed = |source| {
            Stop::Because(ErofsError::Content {
                path: path.clone(),
                source,
            })
        };
        let planned = content.len();
        let changed = || {
            Stop::Because(ErofsError::Changed {
                path: path.clone(),
                planned,
            })
        };
        let mut reader = content.open().map_err(failed)?;
        let mut left = planned;
        while left > 0 {
            let room = self.room()?;
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(room.len());
            match read_some(&mut reader, &mut room[..most]).map_err(failed)? {
                0 => return Err(changed()),
                count => {
                    self.advance(count);
                    left -= count as u64;
                }
            }
        }
        match read_some(&mut reader, &mut [0]).map_err(failed)? {
            0 => Ok(()),
            _ => Err(changed()),
        }
    }

    fn finish(&mut self) -> Result<(), Stop> {
        self.hand_over()
    }
}

fn empty_piece() -> Piece {
    Piece {
        buffer: vec![0; PIECE_BYTES],
        filled: 0,
    }
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
