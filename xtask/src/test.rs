//! `cargo xtask test`: everything that CI runs.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::{
    device,
    error::Error,
    fuzz,
    host::Arch,
    images, kubernetes, lint,
    packages::{self, Install, Needs},
    project, releases,
    scratch::Scratch,
    shell,
};

/// The recipes whose images the scenarios boot.
const RECIPES: [&str; 2] = ["edge.toml", "edge-dev.toml"];

/// The scenario with a Kubernetes that every change runs; the others wait for the soak.
const WITH_KUBERNETES: &str = "kubernetes::with_no_network_at_all_the_node_gets_ready_and_a_pod_serves";

/// What the tests drive: the builder, its images, the device's programs.
pub(crate) struct Prepared {
    outcrop: PathBuf,
    releases: PathBuf,
    scratch: Scratch,
}

impl Prepared {
    /// The builder.
    pub(crate) fn outcrop(&self) -> &Path {
        &self.outcrop
    }

    /// Tells a test run where everything is.
    pub(crate) fn describe_to<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("OUTCROP_IMAGES", project::target().join("images"))
            .env("OUTCROP_RELEASES", &self.releases)
            .env("OUTCROP", &self.outcrop)
            .env("OUTCROP_DEVICE_PROGRAMS", project::device_programs())
            .env("TMPDIR", self.scratch.path())
    }
}

/// Lints, installs, builds, runs all tests and briefly the fuzz targets. With a `filter`: only tests whose name contains it.
pub(crate) fn run(install: Install, filter: &[String]) -> Result<(), Error> {
    if !filter.is_empty() {
        return tests(install, filter);
    }
    Scratch::check_room()?;
    packages::ensure(Needs::Test, install)?;
    packages::ensure(Needs::Fuzz, install)?;
    let toolchains = device::Toolchains::find(install)?;
    // The device's programs take one processor most of the time, and share no folder with what the lints compile.
    thread::scope(|scope| {
        let programs = scope.spawn(|| toolchains.build());
        lint::run(install, lint::Advisories::Skip)?;
        let panicked = || Error::Unexpected("a thread that builds the device's programs panicked".to_owned());
        programs.join().unwrap_or_else(|_| Err(panicked()))
    })?;
    fuzz::run(install, None, fuzz::Length::Brief)?;
    tests(install, filter)
}

/// Builds the programs and images of the scenarios.
pub(crate) fn prepare(install: Install) -> Result<Prepared, Error> {
    packages::ensure(Needs::Test, install)?;
    let scratch = Scratch::new()?;
    device::build(install)?;
    // With the tests, as they start the builder too: built alone, without their features, it would be compiled twice.
    shell::run(runner().arg("--no-run"))?;
    let outcrop = project::target().join("debug").join("outcrop");
    for recipe in RECIPES {
        images::build(&outcrop, recipe, &Arch::ALL)?;
    }
    let releases = releases::build(&outcrop, releases::For::Scenarios, &Arch::ALL)?;
    Ok(Prepared {
        outcrop,
        releases,
        scratch,
    })
}

fn tests(install: Install, filter: &[String]) -> Result<(), Error> {
    let kubernetes = filter.is_empty() || filter.iter().any(|word| WITH_KUBERNETES.contains(word.as_str()));
    if kubernetes {
        kubernetes::build(install, &[Arch::X86_64])?;
    }
    let prepared = prepare(install)?;
    if kubernetes {
        images::build(prepared.outcrop(), "edge-kube.toml", &[Arch::X86_64])?;
    }
    let mut runner = runner();
    if !has_nextest() {
        runner.args(["--", "--test-threads", "2"]);
    }
    shell::run(prepared.describe_to(runner.args(filter)))
}

/// The scenarios with the tests' Kubernetes that take too long for every change.
pub(crate) fn with_kubernetes(install: Install, filter: &[String]) -> Result<(), Error> {
    kubernetes::build(install, &Arch::ALL)?;
    let prepared = prepare(install)?;
    kubernetes::images(prepared.outcrop())?;
    let all = ["kubernetes::".to_owned()];
    let filter = if filter.is_empty() { &all } else { filter };
    shell::run(&mut kubernetes_scenarios(&prepared, filter))
}

/// Runs the scenarios with the tests' Kubernetes whose names contain one of `filter`; they print what they measure.
pub(crate) fn kubernetes_scenarios(prepared: &Prepared, filter: &[String]) -> Command {
    let mut cargo = project::cargo();
    cargo.args([
        "test",
        "--locked",
        "--package",
        "outcrop-qemu-tests",
        "--test",
        "scenarios",
        "--",
    ]);
    cargo.args(["--ignored", "--test-threads", "1", "--nocapture"]);
    prepared.describe_to(cargo.args(filter));
    cargo
}

/// nextest where it is installed, else cargo's own runner.
fn runner() -> Command {
    let mut cargo = project::cargo();
    if has_nextest() {
        cargo.args(["nextest", "run"]);
    } else {
        cargo.arg("test");
    }
    cargo.args(["--locked", "--workspace"]);
    cargo
}

fn has_nextest() -> bool {
    shell::succeeds(project::cargo().args(["nextest", "--version"]))
}
