//! One file by its own address: what a recipe takes from elsewhere.

use std::path::PathBuf;

use outcrop_release::digest::FileDigest;

use super::{
    FetchError, Fetcher, Mode, TransferError,
    pool::Run,
    transfer::{Answer, Size, Transfer},
};
use crate::progress::Unit;

/// Longer files aren't taken: a server that never ends must not fill the disk. 8 GiB.
const MOST_BYTES: u64 = 8 << 30;

/// A file that a recipe names by address and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebFile {
    /// What it is, for people: `the program of k0s 1.36.3+k0s.0 for x86_64`.
    pub what: String,
    /// Its address.
    pub url: String,
    /// Its SHA-256.
    pub sha256: FileDigest,
}

impl Fetcher<'_> {
    /// Brings a file into the cache; returns where it is. One that is there was put there by this or by the user, and
    /// isn't read again: who uses it checks its digest.
    ///
    /// # Errors
    /// When it isn't there and can't be had, with what the user can do.
    pub fn fetch_web_file(&self, file: &WebFile) -> Result<PathBuf, FetchError> {
        if let Some(found) = self.shelf.find_any(&file.sha256) {
            return Ok(found);
        }
        if self.mode == Mode::Offline {
            return Err(FetchError::OfflineFile {
                file: file.clone(),
                place: self.shelf.path(&file.sha256),
            });
        }
        let phase = self
            .progress
            .phase(&format!("fetch {}", file.what), None, Unit::Bytes);
        let run = Run::new(self, phase);
        let mut transfer = match Transfer::begin(&run, file.sha256, Size::AtMost(MOST_BYTES))? {
            Ok(found) => return Ok(found),
            Err(transfer) => transfer,
        };
        let failed = match transfer.ask_address(&file.url, self.effort.tries)? {
            Answer::Complete => return transfer.publish(),
            Answer::Absent => TransferError::Status(404),
            Answer::Failed(error) => error,
        };
        Err(FetchError::WebFile {
            file: file.clone(),
            place: self.shelf.path(&file.sha256),
            source: Box::new(failed),
        })
    }
}
