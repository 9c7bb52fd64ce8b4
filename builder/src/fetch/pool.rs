//! All packages, several at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use outcrop_release::digest::FileDigest;

use super::{
    FetchError, FetchedPackage, Fetcher, Missing, Mode,
    download::{Ending, download},
    error::SnapshotError,
};
use crate::{
    lock::format::LockedPackage,
    progress::{Cancelled, Phase, Unit},
};

/// The wait between two looks at whether to stop.
const SLICE: Duration = Duration::from_millis(100);

/// What the downloads of one call share.
pub(super) struct Run<'a> {
    pub(super) fetcher: &'a Fetcher<'a>,
    pub(super) phase: Box<dyn Phase>,
    stop: AtomicBool,
    dead: Mutex<BTreeSet<String>>,
    findings: Mutex<Findings>,
}

/// What went wrong.
#[derive(Default)]
struct Findings {
    /// The first error that ends everything.
    fatal: Option<FetchError>,
    gone: Vec<Missing>,
    snapshot: Option<SnapshotError>,
}

impl Findings {
    /// Keeps the first failure of the snapshot service that has a cause.
    fn note(&mut self, snapshot: Option<SnapshotError>) {
        if self.snapshot.as_ref().is_none_or(|known| !known.has_cause()) {
            self.snapshot = snapshot.or(self.snapshot.take());
        }
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(fetcher: &'a Fetcher<'a>, phase: Box<dyn Phase>) -> Self {
        Self {
            fetcher,
            phase,
            stop: AtomicBool::new(false),
            dead: Mutex::default(),
            findings: Mutex::default(),
        }
    }
}

impl Run<'_> {
    /// Ends what is under way when the user, or another thread's failure, says so.
    pub(super) fn checkpoint(&self) -> Result<(), FetchError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Cancelled.into());
        }
        self.fetcher.progress.checkpoint().map_err(FetchError::from)
    }

    /// Waits in slices, so that Ctrl-C is heard.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), FetchError> {
        let mut left = time;
        while !left.is_zero() {
            self.checkpoint()?;
            let slice = left.min(SLICE);
            self.fetcher.clock.sleep(slice);
            left -= slice;
        }
        self.checkpoint()
    }

    /// Whether a server was given up during this call.
    pub(super) fn is_dead(&self, server: &str) -> bool {
        guard(&self.dead).contains(server)
    }

    /// Gives a server up.
    pub(super) fn bury(&self, server: &str) {
        guard(&self.dead).insert(server.to_owned());
    }

    fn fail(&self, error: FetchError) {
        guard(&self.findings).fatal.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The places of one file in the wanted packages: two architectures share those for `all`.
struct Wanted<'p> {
    package: &'p LockedPackage,
    indexes: Vec<usize>,
}

/// Fetches what is missing and delivers everything.
pub(super) fn run(
    fetcher: &Fetcher<'_>,
    packages: &[LockedPackage],
    deliver: &(dyn Fn(FetchedPackage) -> ControlFlow<()> + Sync),
) -> Result<(), FetchError> {
    let (found, missing) = look_up(fetcher, wanted(packages));
    refuse_without_sources(fetcher, &missing)?;
    let total = found
        .iter()
        .map(|(wanted, _)| wanted)
        .chain(&missing)
        .map(|wanted| wanted.package.size);
    let phase = fetcher
        .progress
        .phase("fetch packages", Some(total.sum()), Unit::Bytes);
    let run = Run::new(fetcher, phase);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..fetcher.effort.connections.clamp(1, 16).min(missing.len()) {
            scope.spawn(|| work(&run, &missing, &next, deliver));
        }
        for (wanted, path) in &found {
            run.phase.advance(wanted.package.size);
            if let Err(error) = run.checkpoint().and_then(|()| hand_over(wanted, path, deliver)) {
                run.fail(error);
                break;
            }
        }
    });
    conclude(run.findings.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Each file once, large ones first.
fn wanted(packages: &[LockedPackage]) -> Vec<Wanted<'_>> {
    let mut by_digest: BTreeMap<FileDigest, Wanted<'_>> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        let wanted = by_digest.entry(package.sha256).or_insert_with(|| Wanted {
            package,
            indexes: Vec::new(),
        });
        wanted.indexes.push(index);
    }
    let mut wanted: Vec<_> = by_digest.into_values().collect();
    wanted.sort_by_key(|wanted| std::cmp::Reverse(wanted.package.size));
    wanted
}

type Found<'p> = Vec<(Wanted<'p>, PathBuf)>;

fn look_up<'p>(fetcher: &Fetcher<'_>, wanted: Vec<Wanted<'p>>) -> (Found<'p>, Vec<Wanted<'p>>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for wanted in wanted {
        match fetcher.shelf.find(&wanted.package.sha256, wanted.package.size) {
            Some(path) => found.push((wanted, path)),
            None => missing.push(wanted),
        }
    }
    (found, missing)
}

/// Fails before anything is delivered when the missing packages can't be had.
fn refuse_without_sources(fetcher: &Fetcher<'_>, missing: &[Wanted<'_>]) -> Result<(), FetchError> {
    if fetcher.mode == Mode::Offline && !missing.is_empty() {
        let mut packages: Vec<_> = missing.iter().map(|wanted| Missing::of(wanted.package)).collect();
        packages.sort();
        return Err(FetchError::Offline(packages));
    }
    let mirrors = &fetcher.sources.mirrors;
    match missing
        .iter()
        .find(|wanted| mirrors.of(wanted.package.archive).is_empty())
    {
        Some(wanted) => Err(FetchError::NoMirror {
            package: Missing::of(wanted.package),
        }),
        None => Ok(()),
    }
}

fn work(
    run: &Run<'_>,
    missing: &[Wanted<'_>],
    next: &AtomicUsize,
    deliver: &(dyn Fn(FetchedPackage) -> ControlFlow<()> + Sync),
) {
    while let Some(wanted) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
        let done = run.checkpoint().and_then(|()| download(run, wanted.package));
        let done = done.and_then(|ending| match ending {
            Ending::There(path) => hand_over(wanted, &path, deliver),
            Ending::Gone(snapshot) => {
                let mut findings = guard(&run.findings);
                findings.gone.push(Missing::of(wanted.package));
                findings.note(snapshot);
                Ok(())
            }
        });
        if let Err(error) = done {
            return run.fail(error);
        }
    }
}

fn hand_over(
    wanted: &Wanted<'_>,
    path: &std::path::Path,
    deliver: &(dyn Fn(FetchedPackage) -> ControlFlow<()> + Sync),
) -> Result<(), FetchError> {
    let delivered = wanted.indexes.iter().try_for_each(|index| {
        deliver(FetchedPackage {
            index: *index,
            path: path.to_owned(),
        })
    });
    match delivered {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Cancelled.into()),
    }
}

fn conclude(mut findings: Findings) -> Result<(), FetchError> {
    findings.gone.sort();
    match findings.fatal {
        Some(error) => Err(error),
        None if findings.gone.is_empty() => Ok(()),
        None => Err(FetchError::Gone {
            packages: findings.gone,
            source: findings.snapshot,
        }),
    }
}
