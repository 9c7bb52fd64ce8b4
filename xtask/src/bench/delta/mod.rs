//! `cargo xtask bench delta`: what updating between real releases costs a device, against the tools that others use, on the same bytes.

mod bars;
mod bookworm;
mod fixtures;
mod kubernetes;
mod lock_text;
mod locks;
mod ours;
mod package;
mod pairs;
mod payload;
mod peers;
mod renamed_kernel;
mod squashfs;
mod table;

use std::{io, path::Path};

use serde::Serialize;

use self::{
    bars::Bar,
    fixtures::Workshop,
    locks::Locks,
    ours::Ways,
    payload::Payload,
    peers::{Job, Measured},
};
pub(crate) use self::{pairs::Pair, peers::Peer};
use crate::{
    bench::save,
    device,
    error::Error,
    images::{self, Profile},
    packages::{self, Install, Needs},
    project,
};

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// One pair alone.
    pub(crate) pair: Option<Pair>,
    /// These peers alone; none stands for all.
    pub(crate) peers: Vec<Peer>,
    /// Nothing of an earlier run counts: neither its locks nor its figures.
    pub(crate) anew: bool,
}

/// A pair's figures.
#[derive(Debug, Serialize)]
struct Figures {
    pair: Pair,
    /// What differs.
    what: String,
    old_bytes: u64,
    new_bytes: u64,
    /// Of blocks that differ at their place.
    changed_bytes: u64,
    /// Of the changed files, each compressed by itself.
    changed_files: Option<u64>,
    ours: Option<Ways>,
    peers: Vec<Measured>,
}

/// Measures, prints, and fails when a bar is missed.
pub(crate) fn run(install: Install, options: &Options) -> Result<(), Error> {
    packages::ensure(Needs::Bench, install)?;
    device::build(install)?;
    let outcrop = images::builder(Profile::Release)?;
    let folder = project::target().join("bench/delta");
    let workshop = Workshop {
        outcrop: &outcrop,
        locks: Locks {
            outcrop: &outcrop,
            folder: folder.join("locks"),
        },
        folder,
    };
    if options.anew {
        workshop.locks.forget()?;
    }
    let pairs = options.pair.map_or_else(|| Pair::ALL.to_vec(), |pair| vec![pair]);
    let (mut all, mut missed) = (Vec::new(), Vec::new());
    for pair in pairs {
        let figures = measure(&workshop, pair, options)?;
        let bars = bars::of(&figures);
        table::print(&figures, &bars);
        missed.extend(bars.iter().filter(|bar| bar.is_missed()).map(Bar::tell));
        all.push(Saved { figures, bars });
        // After each pair: the whole bench takes long.
        save(
            &options
                .pair
                .map_or("delta".to_owned(), |pair| format!("delta-{}", pair.name())),
            &all,
        )?;
    }
    eprintln!("figures: {}", project::target().join("bench").display());
    if missed.is_empty() {
        return Ok(());
    }
    Err(Error::Unexpected(format!("bars missed:\n{}", missed.join("\n"))))
}

/// A pair in `target/bench/delta.json`.
#[derive(Debug, Serialize)]
struct Saved {
    #[serde(flatten)]
    figures: Figures,
    bars: Vec<Bar>,
}

fn measure(workshop: &Workshop<'_>, pair: Pair, options: &Options) -> Result<Figures, Error> {
    let fixture = workshop.make(pair)?;
    let take = |image, name| Payload::take(workshop.outcrop, image, &fixture.folder.join(name));
    let (old, new) = (take(&fixture.old, "old")?, take(&fixture.new, "new")?);
    let job = Job {
        old: &old,
        new: &new,
        folder: fixture.folder.join("peers"),
    };
    let wanted = if options.peers.is_empty() {
        Peer::ALL.as_slice()
    } else {
        &options.peers
    };
    let peers = peers::run(wanted, &job, &workshop.folder.join("cache"), options.anew)?;
    Ok(Figures {
        pair,
        old_bytes: old.bytes,
        new_bytes: new.bytes,
        changed_bytes: payload::changed_bytes(&old, &new)?,
        changed_files: fixture.changed_files,
        ours: Some(ours::measure(workshop.outcrop, &fixture)?),
        what: fixture.what,
        peers,
    })
}

impl Figures {
    /// The least bytes that a peer's method needs.
    fn fetched(&self, peer: Peer) -> Option<u64> {
        let found = self.peers.iter().find(|measured| measured.peer == peer);
        found.map(Measured::least)
    }

    /// The bytes that a peer fetches.
    fn really_fetched(&self, peer: Peer) -> Option<u64> {
        let found = self.peers.iter().find(|measured| measured.peer == peer);
        found.map(|measured| measured.costs.fetched)
    }

    /// The whole image at its smallest.
    fn whole(&self) -> Option<u64> {
        let whole = self.peers.iter().filter(|measured| measured.peer.is_whole());
        whole.map(Measured::least).min()
    }

    /// What the table's ratios are of.
    fn base(&self) -> Option<u64> {
        let ours = self.ours.as_ref().map(|ways| ways.patched.fetched);
        ours.or_else(|| self.fetched(Peer::Xdelta3))
    }
}

/// A file's error, told with what was being done to it.
fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { doing, path, source }
}
