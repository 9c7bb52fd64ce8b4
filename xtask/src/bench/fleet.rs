//! `cargo xtask bench fleet`: how long an operator waits for what a large fleet's reports say together.

use std::{fs, process::Command};

use serde::Serialize;

use crate::{
    bench::{
        measure::{self, Cost},
        save,
    },
    error::Error,
    images::{self, Profile},
    packages::{self, Install, Needs},
    project, shell,
};

/// Devices that report.
const DEVICES: u32 = 100_000;
const MOST_SECONDS: f64 = 10.0;
const MOST_MIB: f64 = 512.0;

#[derive(Debug, Serialize)]
struct Figures {
    devices: u32,
    report: Cost,
}

/// Measures, prints, and fails when a bar is missed.
pub(crate) fn run(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Bench, install)?;
    let outcrop = images::builder(Profile::Release)?;
    let folder = project::target().join("bench/fleet");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|source| Error::File {
            doing: "remove",
            path: folder.clone(),
            source,
        })?;
    }
    let mut make = project::cargo();
    make.args(["run", "--locked", "--release", "--package", "outcrop-builder"]);
    make.args(["--example", "make_reports", "--"]).arg(&folder);
    shell::run(make.arg(DEVICES.to_string()))?;
    let (page, memory) = (folder.join("fleet.html"), folder.join("fleet.memory"));
    let mut report = Command::new("sh");
    report.args(["-c", "exec \"$@\" > /dev/null", "sh"]).arg(&outcrop);
    report.args(["fleet", "report", "--html"]).arg(&page);
    report.arg("--memory").arg(&memory).arg(&folder);
    // The first run remembers nothing yet.
    measure::measure(&report)?;
    let cost = measure::measure(&report)?;
    eprintln!(
        "{DEVICES} reports checked and summed up in {:.1} s (bar {MOST_SECONDS}), {:.0} MiB (bar {MOST_MIB})",
        cost.seconds, cost.peak_mib
    );
    save(
        "fleet",
        &Figures {
            devices: DEVICES,
            report: cost,
        },
    )?;
    if cost.seconds <= MOST_SECONDS && cost.peak_mib <= MOST_MIB {
        return Ok(());
    }
    Err(Error::Unexpected("bars missed".to_owned()))
}
