//! One package, from one address after the other.

use std::{io, path::PathBuf, time::Duration};

use super::{
    FetchError, Fetcher, Missing, TransferError, TransportError,
    error::SnapshotError,
    net::body_failure,
    pending::{Body, Came, Head, Pending},
    pool::Run,
    response::{Plan, plan},
    shelf::{Claim, Partial},
};
use crate::lock::format::LockedPackage;

/// How often to look whether another process has finished a download, and whether the user wants to stop.
const POLL: Duration = Duration::from_millis(100);
/// A try that brought this many bytes made progress: it doesn't count against the mirror.
const PROGRESS_BYTES: u64 = 64 << 10;
/// Tries at snapshot.debian.org, which answers slowly or not at all.
const SNAPSHOT_TRIES: u32 = 2;

/// How the download of a package ended without an error that ends everything.
pub(super) enum Ending {
    /// It is in the cache.
    There(PathBuf),
    /// It is nowhere.
    Gone(Option<SnapshotError>),
}

/// How one address did.
enum Answer {
    /// The package is complete, and its digest right.
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

/// Brings `package` into the cache.
pub(super) fn download(run: &Run<'_>, package: &LockedPackage) -> Result<Ending, FetchError> {
    let partial = match claim(run, package)? {
        Ok(found) => return Ok(Ending::There(found)),
        Err(partial) => partial,
    };
    let mut download = Download {
        run,
        fetcher: run.fetcher,
        package,
        counted: 0,
        partial,
    };
    download.count();
    let mut ending = download.ask_mirrors()?;
    if ending.is_none() {
        ending = download.ask_snapshot()?;
    }
    match ending {
        Some(Ok(())) => download.publish().map(Ending::There),
        Some(Err(unreachable)) => Ok(Ending::Gone(Some(unreachable))),
        None => Ok(Ending::Gone(None)),
    }
}

/// Waits until the package is there or the download is ours.
fn claim(run: &Run<'_>, package: &LockedPackage) -> Result<Result<PathBuf, Partial>, FetchError> {
    let shelf = run.fetcher.shelf;
    loop {
        match shelf
            .claim(&package.sha256, package.size)
            .map_err(|error| cache_error(run.fetcher, error))?
        {
            Claim::Found(path) => {
                run.phase.advance(package.size);
                return Ok(Ok(path));
            }
            Claim::Ours(partial) => return Ok(Err(partial)),
            Claim::Busy => run.sleep(POLL)?,
        }
    }
}

fn cache_error(fetcher: &Fetcher<'_>, source: io::Error) -> FetchError {
    FetchError::Cache {
        folder: fetcher.shelf.folder().to_owned(),
        source,
    }
}

struct Download<'r> {
    run: &'r Run<'r>,
    fetcher: &'r Fetcher<'r>,
    package: &'r LockedPackage,
    partial: Partial,
    /// Bytes that were told to the progress display.
    counted: u64,
}

impl Download<'_> {
    /// None when every mirror that answered says that it hasn't got the package.
    fn ask_mirrors(&mut self) -> Result<Option<Result<(), SnapshotError>>, FetchError> {
        let mirrors = self.fetcher.sources.mirrors.of(self.package.archive);
        let mut failure = None;
        for mirror in mirrors.iter().filter(|mirror| !self.run.is_dead(mirror)) {
            let url = format!("{mirror}/{}", self.package.path);
            match self.ask_address(&url, self.fetcher.effort.tries)? {
                Answer::Complete => return Ok(Some(Ok(()))),
                Answer::Absent => {}
                Answer::Failed(source) => {
                    if is_about_the_server(&source) {
                        self.run.bury(mirror);
                    }
                    failure = Some((url, source));
                }
            }
        }
        match failure {
            Some((url, source)) => Err(FetchError::Transfer {
                package: Missing::of(self.package),
                url,
                source: Box::new(source),
            }),
            None => Ok(None),
        }
    }

    /// None when it hasn't got the package either, or isn't to be asked; an error inside when it gave no answer.
    fn ask_snapshot(&mut self) -> Result<Option<Result<(), SnapshotError>>, FetchError> {
        let Some(snapshot) = &self.fetcher.sources.snapshot else {
            return Ok(None);
        };
        for url in snapshot.urls(self.package.archive, &self.package.path) {
            if self.run.is_dead(snapshot.base()) {
                return Ok(Some(Err(SnapshotError::before(snapshot.base()))));
            }
            match self.ask_address(&url, SNAPSHOT_TRIES)? {
                Answer::Complete => return Ok(Some(Ok(()))),
                Answer::Absent => {}
                Answer::Failed(source) => {
                    self.run.bury(snapshot.base());
                    return Ok(Some(Err(SnapshotError::now(snapshot.base(), source))));
                }
            }
        }
        Ok(None)
    }

    /// Asks one address until it has given everything, or `tries` requests in a row brought nothing.
    fn ask_address(&mut self, url: &str, tries: u32) -> Result<Answer, FetchError> {
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
        let expected = self.package.size;
        if have == expected {
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
        let expected = self.package.size;
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
        if got < expected {
            return Ok(Try::Again(TransferError::Truncated { got, expected }));
        }
        self.check(kept)
    }

    /// All bytes are there: are they the right ones? `kept` of them came from an earlier answer; when these may be
    /// what is wrong, everything is asked for once more.
    fn check(&mut self, kept: u64) -> Result<Try, FetchError> {
        let (expected, actual) = (self.package.sha256, self.partial.digest());
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

    fn publish(self) -> Result<PathBuf, FetchError> {
        let target = self.fetcher.shelf.path(&self.package.sha256);
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
    fn count(&mut self) {
        let length = self.partial.length();
        if let Some(new) = length.checked_sub(self.counted) {
            self.run.phase.advance(new);
            self.counted = length;
        }
    }
}

/// Whether other packages would fare no better at this server.
const fn is_about_the_server(error: &TransferError) -> bool {
    match error {
        TransferError::Transport(_) => true,
        TransferError::Status(status) => *status >= 500,
        _ => false,
    }
}
