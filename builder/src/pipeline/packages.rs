//! The packages of a build: brought into the cache, replaced there when they are damaged, and kept from being pruned.

use std::{collections::BTreeMap, env, path::Path};

use outcrop_release::digest::FileDigest;

use super::{Job, PipelineError, Session, kubernetes, record};
use crate::{
    error::Error,
    fetch::{Effort, Fetcher, Http, Mirrors, Mode, Shelf, Snapshot, Sources, SystemClock, Timeouts},
    lock::format::LockedPackage,
};

/// Where Debian's and the user's apt sources are.
const APT: &str = "/etc/apt";

impl Session<'_> {
    /// Brings the packages of all jobs into the cache.
    pub(super) fn fetch(&self, jobs: &[&Job]) -> Result<(), Error> {
        let all = jobs
            .iter()
            .flat_map(|job| self.packages(job.release.architecture));
        let unique: BTreeMap<FileDigest, &LockedPackage> =
            all.map(|package| (package.sha256, package)).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let packages: Vec<LockedPackage> = unique.into_values().cloned().collect();
        let shelf = Shelf::of(self.cache);
        let sources = self.sources()?;
        let effort = Effort::default();
        let transport = Http::new(Timeouts::default(), effort.connections);
        let fetcher = Fetcher {
            shelf: &shelf,
            sources: &sources,
            mode: self.request.mode,
            effort,
            transport: &transport,
            clock: &SystemClock,
            progress: self.progress,
        };
        fetcher.fetch(&packages)?;
        let kubernetes = self.loaded.recipe.kubernetes.iter();
        kubernetes
            .flat_map(|kubernetes| jobs.iter().map(move |job| (kubernetes, job.release.architecture)))
            .try_for_each(|(kubernetes, architecture)| kubernetes::fetch(kubernetes, architecture, &fetcher))
    }

    fn sources(&self) -> Result<Sources, Error> {
        if self.request.mode == Mode::Offline {
            return Ok(Sources::default());
        }
        let variable = env::var_os("OUTCROP_MIRROR");
        let mirrors = Mirrors::choose(
            self.request.mirror.as_deref(),
            variable.as_deref(),
            Path::new(APT),
        )?;
        Ok(Sources {
            mirrors,
            snapshot: Some(Snapshot::of(&self.lock)),
        })
    }

    /// Takes damaged packages out of the cache and fetches them again. Their length is right, or they would have been
    /// fetched before; only who reads them whole finds out.
    pub(super) fn replace_damaged(&self, job: &Job) -> Result<(), Error> {
        let shelf = Shelf::of(self.cache);
        for package in self.packages(job.release.architecture) {
            self.progress.checkpoint()?;
            let checked = shelf.recheck(&package.sha256);
            checked.map_err(PipelineError::file("check", shelf.path(&package.sha256)))?;
        }
        self.progress.note(match self.request.mode {
            Mode::Offline => "packages in the cache were damaged: they are removed",
            _ => "packages in the cache were damaged: they are fetched again",
        });
        self.fetch(&[job])
    }

    /// Tells pruning that what an unchanged image was made of is still used.
    pub(super) fn renew(&self, job: &Job) {
        record::renew(&self.cache.builds(), &job.key);
        let shelf = Shelf::of(self.cache);
        for package in self.packages(job.release.architecture) {
            let _looked_up = shelf.find(&package.sha256, package.size);
        }
        if let Some(kubernetes) = &self.loaded.recipe.kubernetes {
            kubernetes::renew(kubernetes, &shelf);
        }
    }
}
