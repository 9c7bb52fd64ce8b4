//! The peers: tools that others use, each run on the same bytes as ours, whole payloads, with the options that make it fetch least.

mod cache;
mod casync;
mod patches;
mod rauc;
mod whole;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use super::{failed, payload::Payload};
use crate::{bench::measure::Cost, error::Error, shell};

/// What a peer is given.
pub(super) struct Job<'a> {
    pub(super) old: &'a Payload,
    pub(super) new: &'a Payload,
    /// For what it makes; emptied between peers.
    pub(super) folder: PathBuf,
}

/// A way to get the newer release to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    Xdelta3,
    ZstdPatch,
    Bsdiff,
    Casync,
    Rauc,
    Zstd19,
    Zstd22,
    Xz,
}

impl Peer {
    pub(super) const ALL: [Self; 8] = [
        Self::Xdelta3,
        Self::ZstdPatch,
        Self::Bsdiff,
        Self::Casync,
        Self::Rauc,
        Self::Zstd19,
        Self::Zstd22,
        Self::Xz,
    ];

    /// The tool with its options, as the table has it. Another text here is another measurement: the cache keeps them apart.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Xdelta3 => "xdelta3 -9 -B (all of the old one)",
            Self::ZstdPatch => "zstd -19 --long=31 --patch-from",
            Self::Bsdiff => "bsdiff (the whole payload)",
            Self::Casync => "casync (default chunks, zstd)",
            Self::Rauc => "rauc adaptive, squashfs zstd -19, 64 KiB",
            Self::Zstd19 => "whole, zstd -19",
            Self::Zstd22 => "whole, zstd --ultra -22 --long=27",
            Self::Xz => "whole, xz -9e",
        }
    }

    /// Debian's package.
    const fn package(self) -> &'static str {
        match self {
            Self::Xdelta3 => "xdelta3",
            Self::ZstdPatch | Self::Zstd19 | Self::Zstd22 => "zstd",
            Self::Bsdiff => "bsdiff",
            Self::Casync => "casync",
            Self::Rauc => "rauc",
            Self::Xz => "xz-utils",
        }
    }

    /// Whether it needs nothing of the older release.
    pub(super) const fn is_whole(self) -> bool {
        matches!(self, Self::Zstd19 | Self::Zstd22 | Self::Xz)
    }

    fn run(self, job: &Job<'_>) -> Result<Costs, Error> {
        match self {
            Self::Xdelta3 => patches::xdelta3(job),
            Self::ZstdPatch => patches::zstd(job),
            Self::Bsdiff => patches::bsdiff(job),
            Self::Casync => casync::run(job),
            Self::Rauc => rauc::run(job),
            Self::Zstd19 => whole::zstd(job, &["-19"]),
            Self::Zstd22 => whole::zstd(job, &["--ultra", "-22", "--long=27"]),
            Self::Xz => whole::xz(job),
        }
    }
}

/// What one run of a peer cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Costs {
    /// Bytes that a device fetches, indexes included.
    pub(super) fetched: u64,
    /// The least that its method could fetch, were the bytes that it lacks alone compressed in one stream: RAUC's.
    pub(super) at_best: Option<u64>,
    /// Bytes of `fetched` that are indexes.
    pub(super) index: u64,
    pub(super) make: Cost,
    /// What the device does; none where only an installed service can do it.
    pub(super) apply: Option<Cost>,
}

/// A peer's figures, and when and with what they were measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) peer: Peer,
    /// Package and version.
    pub(super) version: String,
    /// Day and hour, UTC.
    pub(super) measured: String,
    #[serde(flatten)]
    pub(super) costs: Costs,
}

impl Measured {
    /// The least bytes, by its own way or at best.
    pub(super) fn least(&self) -> u64 {
        let fetched = self.costs.fetched;
        self.costs.at_best.map_or(fetched, |best| best.min(fetched))
    }
}

/// Runs those of `peers` whose figures for these bytes aren't known, or all of them when `anew`.
pub(super) fn run(peers: &[Peer], job: &Job<'_>, cache: &Path, anew: bool) -> Result<Vec<Measured>, Error> {
    peers.iter().map(|&peer| one(peer, job, cache, anew)).collect()
}

fn one(peer: Peer, job: &Job<'_>, cache: &Path, anew: bool) -> Result<Measured, Error> {
    let version = version(peer.package())?;
    let entry = cache::Entry::new(cache, peer, &version, job);
    if let Some(known) = entry.read().filter(|_| !anew) {
        return Ok(known);
    }
    super::package::remove_folder(&job.folder)?;
    fs::create_dir_all(&job.folder).map_err(failed("create folder", &job.folder))?;
    let costs = peer.run(job)?;
    super::package::remove_folder(&job.folder)?;
    let measured = Measured {
        peer,
        version,
        measured: shell::output(Command::new("date").args(["--utc", "+%F %H:%M"]))?
            .trim()
            .to_owned(),
        costs,
    };
    entry.write(&measured)?;
    Ok(measured)
}

fn version(package: &str) -> Result<String, Error> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${Version}", package]);
    shell::output(&mut query)
}

/// Length of a file.
fn length(path: &Path) -> Result<u64, Error> {
    fs::metadata(path)
        .map(|facts| facts.len())
        .map_err(failed("look at", path))
}

/// A peer's result must be the newer release.
fn same(made: &Path, new: &Payload) -> Result<(), Error> {
    shell::run(Command::new("cmp").arg(made).arg(&new.whole))
}
