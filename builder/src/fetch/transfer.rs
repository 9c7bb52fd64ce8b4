//! One file, known by its digest, from one address or the other into the cache.

use std::{io, path::PathBuf, time::Duration};

use outcrop_release::digest::FileDigest;

use super::{
    FetchError, Fetcher, TransferError, TransportError,
    net::body_failure,
    pending::{Body, Came, Head, Pending},
    pool::Run,
    response::{Plan, plan},
    shelf::{Claim, Partial},
};

/// How often to look whether another process has finished a download, and whether the user wants to stop.
const POLL: Duration = Duration::from_millis(100);
/// A try that brought this many bytes made progress: it doesn't count against the server.
const PROGRESS_BYTES: u64 = 64 << 10;

/// How long the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// So many bytes.
    Known(u64),
    /// At most so many: only the digest tells whether it is whole.
    AtMost(u64),
}

impl Size {
    const fn most(self) -> u64 {
        match self {
            Self::Known(bytes) | Self::AtMost(bytes) => bytes,
        }
    }

    /// Whether `bytes` are certainly all.
    const fn is(self, bytes: u64) -> bool {
        matches!(self, Self::Known(size) if size == bytes)
    }
}

/// How one address did.
pub(super) enum Answer {
    /// The file is complete, and its digest right.
    Complete,
    /// The server hasn't got it.
    Absent,
    /// It may have it, but didn't give it.
    Failed(TransferError),
}

/// How one request did.
enum Try {
    Complete,
    Absent,
    /// Another request may do better.
    Again(TransferError),
    /// Another request would do no better.
    Never(TransferError),
}

pub(super) struct Transfer<'r> {
    run: &'r Run<'r>,
    fetcher: &'r Fetcher<'r>,
    sha256: FileDigest,
    size: Size,
    partial: Partial,
    /// Bytes that were told to the progress display.
    counted: u64,
}

impl<'r> Transfer<'r> {
    /// Waits until the file is there (then its path) or its download is ours.
    pub(super) fn begin(
        run: &'r Run<'r>,
        sha256: FileDigest,
        size: Size,
    ) -> Result<Result<PathBuf, Self>, FetchError> {
        loop {
            let claim = run.fetcher.shelf.claim(&sha256, size);
            match claim.map_err(|error| cache_error(run.fetcher, error))? {
                Claim::Found(path) => {
                    if let Size::Known(bytes) = size {
                        run.phase.advance(bytes);
                    }
                    return Ok(Ok(path));
                }
                Claim::Ours(partial) => {
                    let mut transfer = Self {
                        run,
                        fetcher: run.fetcher,
                        sha256,
                        size,
                        partial,
                        counted: 0,
                    };
                    transfer.count();
                    return Ok(Err(transfer));
                }
                Claim::Busy => run.sleep(POLL)?,
            }
        }
    }

    /// Asks one address until it has given everything, or `tries` requests in a row brought nothing.
    pub(super) fn ask_address(&mut self, url: &str, tries: u32) -> Result<Answer, FetchError> {
        let mut fruitless = 0;
        let mut mismatches = 0;
        loop {
            let before = self.partial.length();
            let error = match self.request(url)? {
                Try::Complete => return Ok(Answer::Complete),
                Try::Absent => return Ok(Answer::Absent),
                Try::Never(error) => return Ok(Answer::Failed(error)),
                Try::Again(error) => error,
            };
            mismatches += u32::from(matches!(error, TransferError::Content { .. }));
            if self.partial.length() >= before.saturating_add(PROGRESS_BYTES) {
                fruitless = 0;
            }
            fruitless += 1;
            if fruitless >= tries || mismatches > 1 {
                return Ok(Answer::Failed(error));
            }
            let doublings = fruitless.saturating_sub(1).min(6);
            self.run
                .sleep(self.fetcher.effort.first_wait.saturating_mul(1 << doublings))?;
        }
    }

    fn request(&mut self, url: &str) -> Result<Try, FetchError> {
        let have = self.partial.length();
        let expected = self.size.most();
        if self.size.is(have) {
            return self.check(have);
        }
        let head = match self.answer(url, have)? {
            Ok(head) => head,
            Err(error) if error.is_lasting() => return Ok(Try::Never(error.into())),
            Err(error) => return Ok(Try::Again(error.into())),
        };
        let status = TransferError::Status(head.status);
        match plan(head.status, head.length, head.range.as_deref(), have, expected) {
            Plan::Continue => self.receive(&head.body, have),
            Plan::Restart => {
                self.restart()?;
                self.receive(&head.body, 0)
            }
            Plan::AskForAll => {
                self.restart()?;
                Ok(Try::Again(status))
            }
            Plan::TooLong => Ok(Try::Never(TransferError::TooLong { expected })),
            Plan::Absent => Ok(Try::Absent),
            Plan::TryAgain => Ok(Try::Again(status)),
            Plan::GiveUp => Ok(Try::Never(status)),
        }
    }

    /// Asks, and waits for the beginning of the answer.
    fn answer(&self, url: &str, from: u64) -> Result<Result<Head, TransportError>, FetchError> {
        let pending = Pending::start(self.fetcher.transport.get(url, from));
        loop {
            self.run.checkpoint()?;
            match pending.wait(POLL) {
                Came::Nothing => {}
                Came::This(answer) => return Ok(answer),
                Came::End => return Ok(Err(TransportError::passing("talk to the server", "no answer"))),
            }
        }
    }

    /// Appends the body. `kept` bytes were there before it.
    fn receive(&mut self, body: &Body, kept: u64) -> Result<Try, FetchError> {
        let expected = self.size.most();
        loop {
            self.run.checkpoint()?;
            let piece = match body.next(POLL) {
                Came::Nothing => continue,
                Came::This(Ok(piece)) => piece,
                Came::This(Err(error)) => return Ok(Try::Again(body_failure(error).into())),
                Came::End => break,
            };
            if self.partial.length() + piece.len() as u64 > expected {
                self.restart()?;
                return Ok(Try::Never(TransferError::TooLong { expected }));
            }
            self.partial
                .append(&piece)
                .map_err(|error| cache_error(self.fetcher, error))?;
            self.count();
        }
        let got = self.partial.length();
        if got < expected && matches!(self.size, Size::Known(_)) {
            return Ok(Try::Again(TransferError::Truncated { got, expected }));
        }
        self.check(kept)
    }

    /// All bytes are there: are they the right ones? `kept` of them came from an earlier answer; when these may be
    /// what is wrong, everything is asked for once more.
    fn check(&mut self, kept: u64) -> Result<Try, FetchError> {
        let (expected, actual) = (self.sha256, self.partial.digest());
        if actual == expected {
            return Ok(Try::Complete);
        }
        self.restart()?;
        let error = TransferError::Content { expected, actual };
        Ok(if kept > 0 {
            Try::Again(error)
        } else {
            Try::Never(error)
        })
    }

    pub(super) fn publish(self) -> Result<PathBuf, FetchError> {
        let target = self.fetcher.shelf.path(&self.sha256);
        let published = self.partial.publish(&target);
        published.map_err(|error| cache_error(self.fetcher, error))?;
        Ok(target)
    }

    fn restart(&mut self) -> Result<(), FetchError> {
        self.partial
            .restart()
            .map_err(|error| cache_error(self.fetcher, error))
    }

    /// Tells the progress display about bytes that it hasn't heard of: those that come a second time don't count.
    pub(super) fn count(&mut self) {
        let length = self.partial.length();
        if let Some(new) = length.checked_sub(self.counted) {
            self.run.phase.advance(new);
            self.counted = length;
        }
    }
}

pub(super) fn cache_error(fetcher: &Fetcher<'_>, source: io::Error) -> FetchError {
    FetchError::Cache {
        folder: fetcher.shelf.folder().to_owned(),
        source,
    }
}
