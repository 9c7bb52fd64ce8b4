//! Tools that make one patch of two files.

use std::{path::Path, process::Command};

use super::{Costs, Job, length, same};
use crate::{
    bench::measure::{Cost, measure},
    error::Error,
};

/// `-B`: the window of the source is all of it, as a power of two.
pub(super) fn xdelta3(job: &Job<'_>) -> Result<Costs, Error> {
    let window = job.old.bytes.next_power_of_two().to_string();
    let (patch, out) = (job.folder.join("patch"), job.folder.join("out"));
    let mut make = Command::new("xdelta3");
    make.args(["-e", "-f", "-9", "-B", &window, "-s"]);
    let make = measure(make.args([&job.old.whole, &job.new.whole, &patch]))?;
    let mut apply = Command::new("xdelta3");
    apply.args(["-d", "-f", "-B", &window, "-s"]);
    let apply = measure(apply.args([&job.old.whole, &patch, &out]))?;
    costs(job, &patch, &out, make, apply)
}

pub(super) fn zstd(job: &Job<'_>) -> Result<Costs, Error> {
    let (patch, out) = (job.folder.join("patch"), job.folder.join("out"));
    let from = format!("--patch-from={}", job.old.whole.display());
    let mut make = Command::new("zstd");
    make.args(["-q", "-f", "-19", "--long=31", &from, "-o"]);
    let make = measure(make.args([&patch, &job.new.whole]))?;
    let mut apply = Command::new("zstd");
    apply.args(["-q", "-f", "-d", "--long=31", &from, "-o"]);
    let apply = measure(apply.args([&out, &patch]))?;
    costs(job, &patch, &out, make, apply)
}

/// Takes 17 times the payload's length in memory.
pub(super) fn bsdiff(job: &Job<'_>) -> Result<Costs, Error> {
    let (patch, out) = (job.folder.join("patch"), job.folder.join("out"));
    let (old, new) = (&job.old.whole, &job.new.whole);
    let make = measure(Command::new("bsdiff").args([old, new, &patch]))?;
    let apply = measure(Command::new("bspatch").args([old, &out, &patch]))?;
    costs(job, &patch, &out, make, apply)
}

fn costs(job: &Job<'_>, patch: &Path, out: &Path, make: Cost, apply: Cost) -> Result<Costs, Error> {
    same(out, job.new)?;
    Ok(Costs {
        fetched: length(patch)?,
        at_best: None,
        index: 0,
        make,
        apply: Some(apply),
    })
}
