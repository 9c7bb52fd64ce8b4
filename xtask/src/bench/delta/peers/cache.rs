//! Figures of peers by everything that they hang on: tool, options, version, and the bytes of both releases.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{Job, Measured, Peer};
use crate::{
    bench::delta::{fixtures::write, lock_text::hex},
    error::Error,
};

/// A file that is there once its figures are known.
pub(super) struct Entry(PathBuf);

impl Entry {
    pub(super) fn new(folder: &Path, peer: Peer, version: &str, job: &Job<'_>) -> Self {
        let all = [peer.command(), version, &job.old.digest, &job.new.digest].join("\n");
        Self(folder.join(hex(&Sha256::digest(all))).with_extension("json"))
    }

    /// A file that an older bench wrote otherwise counts as none.
    pub(super) fn read(&self) -> Option<Measured> {
        serde_json::from_slice(&fs::read(&self.0).ok()?).ok()
    }

    pub(super) fn write(&self, measured: &Measured) -> Result<(), Error> {
        let text =
            serde_json::to_string_pretty(measured).map_err(|error| Error::Unexpected(error.to_string()))?;
        write(&self.0, text)
    }
}
