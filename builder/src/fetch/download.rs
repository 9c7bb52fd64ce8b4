//! One package, from one address after the other.

use std::path::PathBuf;

use super::{
    FetchError, Fetcher, Missing, TransferError,
    error::SnapshotError,
    pool::Run,
    transfer::{Answer, Size, Transfer},
};
use crate::lock::format::LockedPackage;

/// Tries at snapshot.debian.org, which answers slowly or not at all.
const SNAPSHOT_TRIES: u32 = 2;

/// How the download of a package ended without an error that ends everything.
pub(super) enum Ending {
    /// It is in the cache.
    There(PathBuf),
    /// It is nowhere.
    Gone(Option<SnapshotError>),
}

/// Brings `package` into the cache.
pub(super) fn download(run: &Run<'_>, package: &LockedPackage) -> Result<Ending, FetchError> {
    let transfer = match Transfer::begin(run, package.sha256, Size::Known(package.size))? {
        Ok(found) => return Ok(Ending::There(found)),
        Err(transfer) => transfer,
    };
    let mut download = Download {
        run,
        fetcher: run.fetcher,
        package,
        transfer,
    };
    let mut ending = download.ask_mirrors()?;
    if ending.is_none() {
        ending = download.ask_snapshot()?;
    }
    match ending {
        Some(Ok(())) => download.transfer.publish().map(Ending::There),
        Some(Err(unreachable)) => Ok(Ending::Gone(Some(unreachable))),
        None => Ok(Ending::Gone(None)),
    }
}

struct Download<'r> {
    run: &'r Run<'r>,
    fetcher: &'r Fetcher<'r>,
    package: &'r LockedPackage,
    transfer: Transfer<'r>,
}

impl Download<'_> {
    /// None when every mirror that answered says that it hasn't got the package.
    fn ask_mirrors(&mut self) -> Result<Option<Result<(), SnapshotError>>, FetchError> {
        let mirrors = self.fetcher.sources.mirrors.of(self.package.archive);
        let mut failure = None;
        for mirror in mirrors.iter().filter(|mirror| !self.run.is_dead(mirror)) {
            let url = format!("{mirror}/{}", self.package.path);
            match self.transfer.ask_address(&url, self.fetcher.effort.tries)? {
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
            match self.transfer.ask_address(&url, SNAPSHOT_TRIES)? {
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
}

/// Whether other packages would fare no better at this server.
const fn is_about_the_server(error: &TransferError) -> bool {
    match error {
        TransferError::Transport(_) => true,
        TransferError::Status(status) => *status >= 500,
        _ => false,
    }
}
