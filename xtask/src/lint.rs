//! `cargo xtask lint`: rustfmt, clippy without a warning, cargo-deny.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    error::Error,
    packages::{self, Install, Needs},
    project, shell,
};

/// The cargo-deny that is compiled when none is installed.
const DENY_VERSION: &str = "0.20.2";

/// Whether known vulnerabilities are asked for, which needs the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advisories {
    Check,
    Skip,
}

/// Checks form, lints, licences, duplicates and sources.
pub(crate) fn run(install: Install, advisories: Advisories) -> Result<(), Error> {
    packages::ensure(Needs::Fuzz, install)?; // clippy compiles libFuzzer too
    shell::run(project::cargo().args(["fmt", "--all", "--", "--check"]))?;
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
    let mut deny = Command::new(deny(install)?);
    deny.current_dir(project::root());
    deny.args(["check", "bans", "licenses", "sources"]);
    deny.args((advisories == Advisories::Check).then_some("advisories"));
    shell::run(&mut deny)
}

/// cargo-deny's path: the installed one's, or that of one compiled once into the cache.
fn deny(install: Install) -> Result<PathBuf, Error> {
    let name = "cargo-deny";
    let tools = project::cache().join("tools");
    let ours = tools.join("bin").join(name);
    let works = |path: &Path| shell::succeeds(Command::new(path).arg("--version"));
    let candidates = [PathBuf::from(name), ours.clone()];
    if let Some(found) = candidates.into_iter().find(|path| works(path)) {
        return Ok(found);
    }
    if install == Install::Never {
        return Err(Error::MissingTool {
            name,
            command: format!("cargo install --locked {name}"),
        });
    }
    let mut cargo = project::cargo();
    cargo.current_dir(env::temp_dir()); // the project's toolchain and configuration are not the tool's
    // Compiled quickly rather than to run quickly: it runs for a second, and nobody debugs it.
    cargo
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "0");
    cargo.args([
        "install",
        "--debug",
        "--locked",
        name,
        "--version",
        DENY_VERSION,
        "--root",
    ]);
    shell::run(cargo.arg(&tools))?;
    Ok(ours)
}
