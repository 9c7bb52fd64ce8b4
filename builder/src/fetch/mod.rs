//! Packages from a mirror into the content-addressed cache.
//!
//! ```text
//! packages ──in the cache?──yes───────────────────────────────→ deliver
//!              └─no─→ mirror ─404→ next mirror ─404→ snapshot ─→ check ─→ cache ─→ deliver
//! ```
//! A package is wanted by its SHA-256 and length; where it comes from doesn't matter. Every byte is hashed as it
//! comes in, and a file takes its place in the cache only after its digest was found right and its bytes are on the
//! disk (see [`shelf`]). A download that ended early is continued by the next try, of this process or a later one.

mod apt_sources;
mod download;
mod error;
mod mirrors;
mod net;
mod pending;
mod pool;
mod response;
pub mod shelf;
mod single;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transfer;

use std::{ops::ControlFlow, path::PathBuf, sync::Mutex, time::Duration};

pub use error::{FetchError, Missing, SnapshotError, TransferError};
pub use mirrors::{MirrorError, Mirrors};
pub use net::{Call, Clock, Http, Response, SystemClock, Timeouts, Transport, TransportError};
pub use shelf::{Recheck, Shelf};
pub use single::WebFile;
pub use snapshot::Snapshot;

use crate::{lock::format::LockedPackage, progress::Progress};

/// Whether the network may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What the cache lacks is downloaded.
    Online,
    /// What the cache lacks is an error that lists all of it.
    Offline,
}

/// Where packages come from when the cache lacks them, in this order.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The mirrors of each archive.
    pub mirrors: Mirrors,
    /// Asked when every mirror says that it hasn't got the package; none is left out.
    pub snapshot: Option<Snapshot>,
}

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Downloads at the same time.
    pub connections: usize,
    /// Tries in a row without progress before a mirror is given up.
    pub tries: u32,
    /// The wait before the second try; it doubles for each one after.
    pub first_wait: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            connections: 6,
            tries: 4,
            first_wait: Duration::from_millis(500),
        }
    }
}

/// A package that is in the cache, with the length that the lock has. Its digest was right when it was stored;
/// [`Shelf::recheck`] checks it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPackage {
    /// Its place in the slice of wanted packages.
    pub index: usize,
    /// The file.
    pub path: PathBuf,
}

/// What fetching works with; the fields that talk to the world are traits, so that tests can stand in for them.
#[derive(Clone, Copy)]
pub struct Fetcher<'a> {
    /// The cache's packages.
    pub shelf: &'a Shelf,
    /// Where to look.
    pub sources: &'a Sources,
    /// Whether to look.
    pub mode: Mode,
    /// How hard.
    pub effort: Effort,
    /// The network.
    pub transport: &'a dyn Transport,
    /// Waits between tries.
    pub clock: &'a dyn Clock,
    /// Bytes are counted here, downloaded or found.
    pub progress: &'a dyn Progress,
}

impl Fetcher<'_> {
    /// Brings all packages into the cache; the paths are in the packages' order.
    ///
    /// # Errors
    /// The first failure that makes going on pointless; or, of packages that are nowhere, all.
    pub fn fetch(&self, packages: &[LockedPackage]) -> Result<Vec<PathBuf>, FetchError> {
        let paths = Mutex::new(vec![PathBuf::new(); packages.len()]);
        self.fetch_each(packages, &|fetched| {
            let mut paths = paths.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(path) = paths.get_mut(fetched.index) {
                *path = fetched.path;
            }
            ControlFlow::Continue(())
        })?;
        Ok(paths
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Brings all packages into the cache and hands each over as soon as it is there: large ones first, so that the
    /// work that follows ends together. `deliver` is called from several threads; when it breaks, fetching ends with
    /// [`FetchError::Cancelled`].
    ///
    /// # Errors
    /// As [`Fetcher::fetch`].
    pub fn fetch_each(
        &self,
        packages: &[LockedPackage],
        deliver: &(dyn Fn(FetchedPackage) -> ControlFlow<()> + Sync),
    ) -> Result<(), FetchError> {
        pool::run(self, packages, deliver)
    }
}
