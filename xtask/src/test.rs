//! `cargo xtask test`: everything that CI runs.

use std::process::Command;

use crate::{
    device,
    error::Error,
    host::Arch,
    images::{self, Profile},
    packages::{self, Install, Needs},
    project, shell,
};

/// The recipes whose images the scenarios boot.
const RECIPES: [&str; 2] = ["edge.toml", "edge-dev.toml"];

/// Installs, builds and runs all tests; `filter` names tests to run instead of all.
pub(crate) fn run(install: Install, filter: &[String]) -> Result<(), Error> {
    packages::ensure(Needs::Test, install)?;
    device::build(install)?;
    let outcrop = images::builder(Profile::Dev)?;
    for recipe in RECIPES {
        images::build(&outcrop, recipe, &Arch::ALL)?;
    }
    shell::run(
        tests(filter)
            .env("OUTCROP_IMAGES", project::target().join("images"))
            .env("OUTCROP", &outcrop)
            .env("OUTCROP_DEVICE_PROGRAMS", project::device_programs()),
    )
}

/// nextest where it is installed, else cargo's own runner.
fn tests(filter: &[String]) -> Command {
    let mut cargo = project::cargo();
    if shell::succeeds(project::cargo().args(["nextest", "--version"])) {
        cargo
            .args(["nextest", "run", "--locked", "--workspace"])
            .args(filter);
    } else {
        cargo
            .args(["test", "--locked", "--workspace", "--"])
            .args(["--test-threads", "2"])
            .args(filter);
    }
    cargo
}
