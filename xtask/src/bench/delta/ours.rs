//! Outcrop's own side. This is the one place where its figures come in: everything else of the bench takes them from [`measure`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{fixtures::Fixture, pairs::Pair};
use crate::error::Error;

/// What an update costs with Outcrop's patches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Ours {
    /// Bytes that a device fetches in all, headers, indexes and signatures included.
    pub(super) fetched: u64,
    /// `outcrop bundle delta`: seconds and largest resident set.
    pub(super) build_seconds: f64,
    pub(super) build_peak_mib: f64,
    /// The updater on a disk image: seconds and largest resident set.
    pub(super) device_seconds: f64,
    pub(super) device_peak_mib: f64,
    /// Bytes written to the slot.
    pub(super) written: u64,
    /// Of those, what belongs to content of files: not the file system's own blocks, not hashes, not the boot payload.
    pub(super) data_written: u64,
}

/// The ways that a device may have to go.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Ways {
    /// Patches, on a device that has no memory to pack a kernel again: it fetches that whole.
    pub(super) patched: Ours,
    /// Patches, the kernel's too: none where nothing is packed (aarch64) or nothing changed.
    pub(super) repacked: Option<Ours>,
    /// Nothing known of what the device has: its own blocks, and the rest from the whole bundle.
    pub(super) unknown: Ours,
    /// Seconds that `dd` takes to write and to read the bytes that `patched` writes.
    pub(super) dd_seconds: f64,
}

/// Measures Outcrop on a pair, or nothing as long as it can't make patches: the bench then prints the peers alone and checks no bar of ours.
///
/// `outcrop` is the release build. The fixture has the images, their folders and the key that signs their bundles.
#[expect(
    clippy::unnecessary_wraps,
    reason = "measuring fails in as many ways as the programs that it runs"
)]
pub(super) fn measure(_outcrop: &Path, _pair: Pair, _fixture: &Fixture) -> Result<Option<Ways>, Error> {
    // `outcrop bundle delta --from OLD NEW --output FILE` under `measure::measure`, `outcrop bundle cost --from OLD NEW --delta FILE --json`,
    // and the example `install-to-image`, as `bench::update` runs it, come here.
    Ok(None)
}
