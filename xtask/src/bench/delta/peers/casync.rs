//! casync: content-defined chunks in a store. A device fetches the index, and the chunks that it can't find in the older release.
//!
//! Rugix's bundles (`casync-64`) and desync cut the same way into chunks of the same size.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Costs, Job, failed, length, same};
use crate::{
    bench::measure::{Cost, measure},
    error::Error,
};

pub(super) fn run(job: &Job<'_>) -> Result<Costs, Error> {
    let (old, _) = make(job, "old", &job.old.whole)?;
    let (new, cost) = make(job, "new", &job.new.whole)?;
    let (had, has) = (chunks(&old)?, chunks(&new)?);
    let missing: u64 = has
        .iter()
        .filter(|(name, _)| !had.contains_key(*name))
        .map(|(_, bytes)| bytes)
        .sum();
    let (index, out) = (index(job, "new"), job.folder.join("out"));
    let mut apply = Command::new("casync");
    apply
        .arg("extract")
        .arg(option("--store", &new))
        .arg(option("--seed", &job.old.whole));
    let apply = measure(apply.args([&index, &out]))?;
    same(&out, job.new)?;
    let index = length(&index)?;
    Ok(Costs {
        fetched: missing + index,
        at_best: None,
        index,
        make: cost,
        apply: Some(apply),
    })
}

fn index(job: &Job<'_>, name: &str) -> PathBuf {
    job.folder.join(name).with_extension("caibx")
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// The store with the chunks of `payload`.
fn make(job: &Job<'_>, name: &str, payload: &Path) -> Result<(PathBuf, Cost), Error> {
    let store = job.folder.join(name).with_extension("castr");
    fs::create_dir(&store).map_err(failed("create folder", &store))?;
    let mut command = Command::new("casync");
    command.arg("make").arg(option("--store", &store));
    command.arg(index(job, name)).arg(payload);
    Ok((store, measure(&command)?))
}

/// Names of a store's chunks, and how long each is compressed.
fn chunks(store: &Path) -> Result<BTreeMap<String, u64>, Error> {
    let read = || -> io::Result<_> {
        let mut found = BTreeMap::new();
        for folder in fs::read_dir(store)? {
            for chunk in fs::read_dir(folder?.path())? {
                let chunk = chunk?;
                found.insert(
                    chunk.file_name().to_string_lossy().into_owned(),
                    chunk.metadata()?.len(),
                );
            }
        }
        Ok(found)
    };
    read().map_err(failed("list", store))
}
