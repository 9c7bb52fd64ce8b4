//! The whole payload, compressed.

use std::process::Command;

use super::{Costs, Job, length, same};
use crate::{bench::measure::measure, error::Error};

pub(super) fn zstd(job: &Job<'_>, options: &[&str]) -> Result<Costs, Error> {
    let long = options.iter().filter(|option| option.starts_with("--long"));
    let (packed, out) = (job.folder.join("packed"), job.folder.join("out"));
    let mut make = Command::new("zstd");
    make.args(["-q", "-f"]).args(options).arg("-o");
    let make = measure(make.args([&packed, &job.new.whole]))?;
    let mut apply = Command::new("zstd");
    apply.args(["-q", "-f", "-d"]).args(long).arg("-o");
    let apply = measure(apply.args([&out, &packed]))?;
    same(&out, job.new)?;
    Ok(Costs {
        fetched: length(&packed)?,
        at_best: None,
        index: 0,
        make,
        apply: Some(apply),
    })
}

pub(super) fn xz(job: &Job<'_>) -> Result<Costs, Error> {
    let (packed, out) = (job.folder.join("packed"), job.folder.join("out"));
    let shell = |script: &str, from, to| {
        let mut command = Command::new("sh");
        command.args(["-ec", script, "sh"]).args([from, to]);
        measure(&command)
    };
    let make = shell("xz -9e -T1 < \"$1\" > \"$2\"", &job.new.whole, &packed)?;
    let apply = shell("xz -dc < \"$1\" > \"$2\"", &packed, &out)?;
    same(&out, job.new)?;
    Ok(Costs {
        fetched: length(&packed)?,
        at_best: None,
        index: 0,
        make,
        apply: Some(apply),
    })
}
