//! `cargo xtask lint`: rustfmt, clippy without a warning, cargo-deny.

use std::process::Command;

use crate::{error::Error, project, shell};

/// Checks form, lints, licences, duplicates and sources; advisories too, for which cargo-deny needs the internet.
pub(crate) fn run(advisories: bool) -> Result<(), Error> {
    format()?;
    let clippy = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    shell::run(project::cargo().args(clippy))?;
    if !shell::succeeds(Command::new("cargo-deny").arg("--version")) {
        let why = "cargo-deny is missing. Install it with:\n\n    cargo install --locked cargo-deny\n";
        return Err(Error::Unexpected(why.to_owned()));
    }
    let advisories = advisories.then_some("advisories");
    shell::run(
        project::cargo()
            .args(["deny", "check", "bans", "licenses", "sources"])
            .args(advisories),
    )
}

/// Checks that every file is as rustfmt writes it.
pub(crate) fn format() -> Result<(), Error> {
    shell::run(project::cargo().args(["fmt", "--all", "--", "--check"]))
}
