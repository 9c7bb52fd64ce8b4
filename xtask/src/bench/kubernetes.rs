//! `cargo xtask bench kubernetes`: what a trial's copy of the state costs, how long a node takes to get ready, and the memory of Outcrop's
//! own processes.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde::Serialize;

use crate::{
    bench::save,
    error::Error,
    host::Arch,
    kubernetes,
    packages::{self, Install, Needs},
    project, shell, test,
};

/// How often each is done; the median counts.
const RUNS: usize = 5;
/// The datastore: one large file, as etcd's, and logs beside it. 100 MiB.
const DATABASE_BYTES: u64 = 64 << 20;
const LOGS: u64 = 36;
const LOG_BYTES: u64 = 1 << 20;
/// Most that a copy and its way back may take, as a multiple of `cp -a` and `sync`.
const BAR: f64 = 1.2;
/// The scenario that tells how long a node takes.
const SCENARIO: &str = "kubernetes::with_no_network_at_all";

#[derive(Debug, Serialize)]
struct Figures {
    /// Seconds.
    copy: f64,
    bring_back: f64,
    cp_and_sync: f64,
    /// Copy and way back, as a multiple of `cp` and `sync`.
    ratio: f64,
    /// What the scenario printed.
    scenario: Vec<String>,
}

/// Measures and prints.
pub(crate) fn run(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Bench, install)?;
    let mut figures = measure_copies()?;
    eprintln!(
        "state of 100 MiB: copy {:.3} s, back {:.3} s; cp -a and sync -f {:.3} s: {:.2} times (bar {BAR})",
        figures.copy, figures.bring_back, figures.cp_and_sync, figures.ratio
    );
    kubernetes::build(install, &[Arch::X86_64])?;
    let prepared = test::prepare(install)?;
    crate::images::build(prepared.outcrop(), "edge-kube.toml", &[Arch::X86_64])?;
    let scenario = [SCENARIO.to_owned()];
    let told = shell::output(&mut test::kubernetes_scenarios(&prepared, &scenario))?;
    figures.scenario = told
        .lines()
        .filter(|line| line.contains(" boot: "))
        .map(str::to_owned)
        .collect();
    if figures.scenario.is_empty() {
        return Err(Error::Unexpected(format!("the scenario told no times:\n{told}")));
    }
    figures.scenario.iter().for_each(|line| eprintln!("{line}"));
    eprintln!("figures: {}", save("kubernetes", &figures)?.display());
    Ok(())
}

fn measure_copies() -> Result<Figures, Error> {
    let mut cargo = project::cargo();
    cargo.args([
        "build",
        "--locked",
        "--release",
        "--package",
        "outcrop-updater",
        "--example",
        "state",
    ]);
    shell::run(&mut cargo)?;
    let program = project::target().join("release/examples/state");
    let folder = project::target().join("bench/state");
    let datastore = folder.join("var/lib/datastore");
    fill(&datastore)?;
    let (mut copies, mut backs, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    // In turns, so that both see the same disk.
    for _ in 0..RUNS {
        let told = shell::output(Command::new(&program).arg(&folder))?;
        let times: Vec<f64> = told
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let &[copy, back] = times.as_slice() else {
            return Err(Error::Unexpected(format!("{} said {told:?}", program.display())));
        };
        copies.push(copy);
        backs.push(back);
        peers.push(copy_like_a_user(&datastore, &folder.join("copy"))?);
    }
    remove(&folder)?;
    let (copy, bring_back, cp_and_sync) = (median(copies), median(backs), median(peers));
    Ok(Figures {
        copy,
        bring_back,
        cp_and_sync,
        ratio: (copy + bring_back) / cp_and_sync,
        scenario: Vec::new(),
    })
}

/// `cp -a` and `sync -f`; how long they took together, in seconds.
fn copy_like_a_user(from: &Path, to: &Path) -> Result<f64, Error> {
    let begin = Instant::now();
    shell::run(Command::new("cp").arg("-a").args([from, to]))?;
    shell::run(Command::new("sync").arg("-f").arg(to))?;
    let time = begin.elapsed().as_secs_f64();
    remove(to)?;
    Ok(time)
}

fn fill(folder: &Path) -> Result<(), Error> {
    let failed = |path: PathBuf| {
        move |source| Error::File {
            doing: "write",
            path,
            source,
        }
    };
    fs::create_dir_all(folder).map_err(failed(folder.to_owned()))?;
    let write = |name: String, bytes: u64| -> Result<(), Error> {
        let path = folder.join(name);
        let copy = || -> io::Result<()> {
            let mut random = fs::File::open("/dev/urandom")?.take(bytes);
            let mut file = fs::File::create(&path)?;
            io::copy(&mut random, &mut file)?;
            file.sync_all()
        };
        copy().map_err(failed(path.clone()))
    };
    write("db".to_owned(), DATABASE_BYTES)?;
    (0..LOGS).try_for_each(|number| write(format!("{number}.wal"), LOG_BYTES))
}

fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_dir_all(path).map_err(|source| Error::File {
        doing: "remove",
        path: path.to_owned(),
        source,
    })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
