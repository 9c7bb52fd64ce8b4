//! `cargo xtask soak`: what takes too long for every change, or depends on the day: long fuzzing, the scenarios again
//! and again, and the default recipe against what Debian publishes now.

use crate::{
    error::Error,
    fuzz,
    host::Arch,
    kubernetes,
    packages::{self, Install, Needs},
    project, shell,
    test::{self, Prepared},
};

/// Power cuts of each round, at moments of the round's own.
const POWER_CUTS: &str = "40";

/// Fuzzes every target for `minutes`, boots the scenarios `rounds` times, runs the tests that wait for the soak.
pub(crate) fn run(install: Install, minutes: u32, rounds: u32) -> Result<(), Error> {
    packages::ensure(Needs::Soak, install)?;
    kubernetes::build(install, &Arch::ALL)?;
    let prepared = test::prepare(install)?;
    kubernetes::images(prepared.outcrop())?;
    let mut waiting = project::cargo();
    waiting.args(["test", "--locked", "--workspace", "--", "--ignored"]);
    shell::run(prepared.describe_to(&mut waiting))?;
    for round in 1..=rounds {
        eprintln!("scenarios, round {round} of {rounds}");
        let mut scenarios = scenarios(&prepared);
        scenarios.env("OUTCROP_POWER_CUTS", POWER_CUTS);
        shell::run(scenarios.env("OUTCROP_POWER_CUT_SEED", round.to_string()))?;
    }
    fuzz::run(install, None, fuzz::Length::Seconds(minutes.saturating_mul(60)))
}

fn scenarios(prepared: &Prepared) -> std::process::Command {
    let mut cargo = project::cargo();
    cargo.args([
        "test",
        "--locked",
        "--package",
        "outcrop-qemu-tests",
        "--",
        "--test-threads",
        "2",
    ]);
    prepared.describe_to(&mut cargo);
    cargo
}
