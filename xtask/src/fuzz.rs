//! `cargo xtask fuzz`: runs the fuzz targets, each for a while. What they are and how to run one by hand: fuzz/README.md.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{
    error::Error,
    packages::{self, Install, Needs},
    project, shell,
};

/// Bytes of the longest input that libFuzzer makes up.
const LONGEST_INPUT: u32 = 1 << 16;
/// Seconds after which a single input counts as a hang.
const HANG_SECONDS: u32 = 20;
/// Lines of a failed target's output that are shown.
const REPORT_LINES: usize = 60;
/// MiB of memory after which an input counts as a bomb.
const MEMORY_MIB: u32 = 1024;

/// Targets that run at a time.
const AT_A_TIME: usize = 2;
/// Targets of what devices take from anybody: bundles with their manifests, signatures and indexes; and the boot record.
const FROM_ANYBODY: [&str; 3] = ["boot_record", "bundle_index", "manifest"];

/// How long each target runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// For every change: twenty seconds for [`FROM_ANYBODY`], else long enough to see that it starts and that its seeds hold.
    /// `cargo xtask soak` has the hours.
    Brief,
    /// All the same.
    Seconds(u32),
}

impl Length {
    fn seconds(self, name: &str) -> u32 {
        match self {
            Self::Brief if FROM_ANYBODY.contains(&name) => 20,
            Self::Brief => 4,
            Self::Seconds(seconds) => seconds,
        }
    }
}

/// Builds all targets, and runs those whose name contains `filter` (all without one).
pub(crate) fn run(install: Install, filter: Option<&str>, length: Length) -> Result<(), Error> {
    packages::ensure(Needs::Fuzz, install)?;
    let wanted = filter.unwrap_or_default();
    let names: Vec<String> = targets()?
        .into_iter()
        .filter(|name| name.contains(wanted))
        .collect();
    if names.is_empty() {
        return Err(Error::Unexpected(format!(
            "no fuzz target's name contains {wanted:?}"
        )));
    }
    let programs = compile()?;
    let next = Mutex::new(names.iter());
    let work = || -> Result<(), Error> {
        // A panic of the other worker spoils nothing here.
        while let Some(name) = next.lock().unwrap_or_else(PoisonError::into_inner).next() {
            run_one(&programs.join(name), name, length.seconds(name))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| {
                Err(Error::Unexpected(
                    "a thread that runs fuzz targets panicked".to_owned(),
                ))
            })
        })
    })
}

fn folder() -> PathBuf {
    project::root().join("fuzz")
}

/// The names of all targets: each is a file in `fuzz_targets`.
fn targets() -> Result<Vec<String>, Error> {
    let path = folder().join("fuzz_targets");
    let list = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&path)? {
            let file = entry?.path();
            names.extend(file.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        names.sort_unstable();
        Ok(names)
    };
    list().map_err(|source| Error::File {
        doing: "list the fuzz targets in",
        path: path.clone(),
        source,
    })
}

/// Compiles every target and returns the folder of the programs.
///
/// Into the folder of every other build: only the project's own crates are compiled anew, with coverage.
fn compile() -> Result<PathBuf, Error> {
    let mut cargo = project::cargo();
    cargo.env("RUSTC_WORKSPACE_WRAPPER", folder().join("rustc-with-coverage"));
    cargo.args(["build", "--locked", "--package", "outcrop-fuzz", "--bins"]);
    shell::run(&mut cargo)?;
    Ok(project::target().join("debug"))
}

/// Runs one target from its seeds and what earlier runs found.
fn run_one(program: &Path, name: &str, seconds: u32) -> Result<(), Error> {
    let corpus = project::target().join("fuzz-corpus").join(name);
    fs::create_dir_all(&corpus).map_err(|source| Error::File {
        doing: "create folder",
        path: corpus.clone(),
        source,
    })?;
    let artifacts = project::target().join("fuzz-corpus").join(format!("{name}-"));
    let output = Command::new(program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST_INPUT}"))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-artifact_prefix={}", artifacts.display()))
        .arg(&corpus)
        .arg(folder().join("seeds").join(name))
        .output()
        .map_err(|source| Error::Start {
            command: program.display().to_string(),
            source,
        })?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        eprintln!("fuzz {name}: {}", summary(&told));
        return Ok(());
    }
    Err(Error::Fuzz {
        name: name.to_owned(),
        told: last_lines(&told),
    })
}

/// libFuzzer's own words: `1234 runs in 5 second(s)`.
fn summary(told: &str) -> &str {
    told.lines()
        .find_map(|line| line.strip_prefix("Done "))
        .unwrap_or("it doesn't say how often it ran")
}

fn last_lines(told: &str) -> String {
    let lines: Vec<&str> = told.lines().collect();
    let start = lines.len().saturating_sub(REPORT_LINES);
    lines.get(start..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_in_libfuzzer_s_words() {
        assert_eq!(
            summary("#9 NEW\nDone 9 runs in 3 second(s)\n"),
            "9 runs in 3 second(s)"
        );
    }

    #[test]
    fn every_fuzz_target_is_built_and_has_seeds() {
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        let names = targets().unwrap();
        assert!(names.len() >= 10, "{names:?}");
        for name in FROM_ANYBODY {
            assert!(names.iter().any(|target| target == name), "{name} is no target");
        }
        for name in names {
            assert!(
                manifest.contains(&format!("name = \"{name}\"")),
                "{name} is no [[bin]]"
            );
            let seeds = folder().join("seeds").join(&name);
            assert!(seeds.read_dir().unwrap().next().is_some(), "{name} has no seeds");
        }
    }
}
