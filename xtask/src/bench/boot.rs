//! `cargo xtask bench boot`: kernel start to healthy, and the initramfs' part of it, in software emulation.

use std::process::{Command, Stdio};

use serde::Serialize;

use crate::{
    bench::save,
    device,
    error::Error,
    host::Arch,
    images::{self, Profile},
    packages::{self, Install, Needs},
};

/// How often each architecture is booted; the median of the totals counts.
const RUNS: usize = 3;
/// Most that the initramfs may take of the time from the kernel's start to healthy, in percent.
const INITRAMFS_PERCENT: f64 = 10.0;

#[derive(Debug, Clone, Serialize)]
struct BootTime {
    architecture: &'static str,
    /// Kernel start to healthy.
    total_seconds: f64,
    /// `outcrop-init`'s first line to its last.
    initramfs_seconds: f64,
    initramfs_percent: f64,
}

/// Boots the default image and prints what its kernel's clock says.
pub(crate) fn run(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Bench, install)?;
    device::build(install)?;
    let outcrop = images::builder(Profile::Release)?;
    let folder = images::build(&outcrop, "edge.toml", &Arch::ALL)?;
    let mut times = Vec::new();
    for arch in Arch::ALL {
        let image = images::find(&folder, "edge", arch)?;
        let run = |_| boot(&outcrop, &image, arch);
        times.push(median((0..RUNS).map(run).collect::<Result<_, _>>()?)?);
    }
    for time in &times {
        eprintln!(
            "{}: kernel start to healthy {:.1} s, of which the initramfs {:.2} s ({:.1} %, bar {INITRAMFS_PERCENT} %)",
            time.architecture, time.total_seconds, time.initramfs_seconds, time.initramfs_percent
        );
    }
    eprintln!("figures: {}", save("boot", &times)?.display());
    Ok(())
}

fn median(mut times: Vec<BootTime>) -> Result<BootTime, Error> {
    times.sort_by(|a, b| a.total_seconds.total_cmp(&b.total_seconds));
    let middle = times.get(times.len() / 2).cloned();
    middle.ok_or_else(|| Error::Unexpected("nothing was booted".to_owned()))
}

fn boot(outcrop: &std::path::Path, image: &std::path::Path, arch: Arch) -> Result<BootTime, Error> {
    let mut command = Command::new(outcrop);
    command
        .arg("run")
        .arg(image)
        .args(["--until-healthy", "--timeout", "900"]);
    eprintln!("+ boot {}", image.display());
    let output = command
        .stderr(Stdio::piped())
        .output()
        .map_err(|source| Error::Start {
            command: "outcrop run".to_owned(),
            source,
        })?;
    let console = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(Error::Unexpected(format!(
            "the image didn't become healthy:\n{console}"
        )));
    }
    parse(&console, arch).ok_or_else(|| Error::Unexpected(format!("the console tells no times:\n{console}")))
}

/// The times that the console tells, by the kernel's clock: `[   12.345678] outcrop: healthy: ...`.
fn parse(console: &str, arch: Arch) -> Option<BootTime> {
    let at = |text: &str| {
        let line = console.lines().find(|line| line.contains(text))?;
        line.split_once('[')?
            .1
            .split_once(']')?
            .0
            .trim()
            .parse::<f64>()
            .ok()
    };
    let (begin, end, healthy) = (
        at("outcrop-init: begin")?,
        at("outcrop-init: end")?,
        at("outcrop: healthy: ")?,
    );
    let initramfs = end - begin;
    Some(BootTime {
        architecture: arch.as_str(),
        total_seconds: healthy,
        initramfs_seconds: initramfs,
        initramfs_percent: initramfs / healthy * 100.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_kernels_own() {
        let console = "[    2.5] outcrop-init: begin\r\n[    3.0] outcrop-init: end, 500 ms\r\n[   10.0] outcrop: healthy: x\r\n";
        let time = parse(console, Arch::X86_64).unwrap();
        assert!((time.initramfs_seconds - 0.5).abs() < 1e-9 && (time.initramfs_percent - 5.0).abs() < 1e-9);
    }
}
