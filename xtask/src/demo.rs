//! `cargo xtask demo`: from nothing to a device that takes a good release, and goes back from a broken one.

use std::{path::Path, process::Command};

use crate::{
    device,
    error::Error,
    host::Arch,
    images::{self, Profile},
    kubernetes,
    packages::{self, Install, Needs},
    project, releases, shell,
};

/// Installs what is missing, builds three releases for x86_64, and tells the story of their updates.
pub(crate) fn run(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Demo, install)?;
    device::build(install)?;
    let outcrop = images::builder(Profile::Dev)?;
    let folder = releases::build(&outcrop, releases::For::Demo, &[Arch::X86_64])?;
    let image = images::find(&folder, releases::PRODUCT, Arch::X86_64)?;
    shell::run(Command::new(&outcrop).arg("inspect").arg(&image))?;
    tell("outcrop-demo", &folder)?;
    if kubernetes::is_built(&[Arch::X86_64])? {
        with_kubernetes(install)?;
    } else {
        eprintln!(
            "\n`cargo xtask demo --kubernetes` shows the same with a real Kubernetes, once it is compiled."
        );
    }
    eprintln!("\nBoot the newest release on this terminal (Ctrl-A X ends it) with:\n");
    eprintln!("    {} run {}\n", outcrop.display(), image.display());
    Ok(())
}

/// The same with a Kubernetes, which is compiled unless it is in the cache.
pub(crate) fn with_kubernetes(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Demo, install)?;
    kubernetes::build(install, &[Arch::X86_64])?;
    device::build(install)?;
    let outcrop = images::builder(Profile::Dev)?;
    releases::build_kubernetes(&outcrop, &[Arch::X86_64])?;
    tell("outcrop-demo-kubernetes", &project::target().join("releases"))
}

/// Starts the program that tells the story of the releases in `folder`.
fn tell(program: &str, folder: &Path) -> Result<(), Error> {
    let mut story = project::cargo();
    story.args([
        "run",
        "--locked",
        "--package",
        "outcrop-qemu-tests",
        "--bin",
        program,
    ]);
    shell::run(story.env("OUTCROP_RELEASES", folder))
}
