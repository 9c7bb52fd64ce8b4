//! Answers that are waited for in slices, so that Ctrl-C is heard while a server is silent.
//!
//! A blocked connect, name lookup or read can't be interrupted from outside. So each request has a thread of its own,
//! which hands on what comes in; who loses interest drops the receiving end and goes. The thread follows at its next
//! timeout, or with the process.

use std::{
    io::{self, Read as _},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use super::{Response, TransportError};

/// Bytes that are read from the network at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for their reader, at most.
const WAITING_PIECES: usize = 4;

/// An answer's beginning and its body, both perhaps still to come.
#[derive(Debug)]
pub(super) struct Pending {
    head: Receiver<Result<Head, TransportError>>,
}

/// An answer without its body: see [`Response`].
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) length: Option<u64>,
    pub(super) range: Option<String>,
    pub(super) body: Body,
}

/// A body as it comes in.
#[derive(Debug)]
pub(super) struct Body {
    pieces: Receiver<io::Result<Vec<u8>>>,
}

/// What came within a wait.
#[derive(Debug)]
pub(super) enum Came<T> {
    /// Nothing so far.
    Nothing,
    /// This.
    This(T),
    /// The end: nothing more will come.
    End,
}

impl Pending {
    /// Runs `request` in a thread of its own.
    pub(super) fn start(request: impl FnOnce() -> Result<Response, TransportError> + Send + 'static) -> Self {
        let (sender, head) = sync_channel(1);
        let work = move || match request() {
            Ok(response) => hand_on(response, &sender),
            // The receiver may have gone: then nobody wants to know.
            Err(error) => drop(sender.send(Err(error))),
        };
        // Without a thread the sender is gone: whoever waits sees that no answer comes, and tries again.
        let _no_thread = thread::Builder::new().spawn(work);
        Self { head }
    }

    /// Waits for the answer's beginning, at most for `time`.
    pub(super) fn wait(&self, time: Duration) -> Came<Result<Head, TransportError>> {
        receive(&self.head, time)
    }
}

impl Body {
    /// Waits for the next bytes, at most for `time`.
    pub(super) fn next(&self, time: Duration) -> Came<io::Result<Vec<u8>>> {
        receive(&self.pieces, time)
    }
}

fn receive<T>(receiver: &Receiver<T>, time: Duration) -> Came<T> {
    match receiver.recv_timeout(time) {
        Ok(value) => Came::This(value),
        Err(RecvTimeoutError::Timeout) => Came::Nothing,
        Err(RecvTimeoutError::Disconnected) => Came::End,
    }
}

/// Hands on the answer, piece by piece, until its end, an error, or the receiver's loss of interest.
fn hand_on(response: Response, sender: &SyncSender<Result<Head, TransportError>>) {
    let (piece_sender, pieces) = sync_channel(WAITING_PIECES);
    let mut body = response.body;
    let head = Head {
        status: response.status,
        length: response.length,
        range: response.range,
        body: Body { pieces },
    };
    if sender.send(Ok(head)).is_err() {
        return;
    }
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let piece = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => Ok(buffer.get(..read).unwrap_or_default().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if piece_sender.send(piece).is_err() || failed {
            break;
        }
    }
    // The connection goes back to its pool before the receiver hears of the end, and asks for the next file.
    drop(body);
    drop(piece_sender);
}
