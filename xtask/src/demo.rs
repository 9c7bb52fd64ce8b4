//! `cargo xtask demo`: from nothing to a device that takes a good release, and goes back from a broken one.

use std::process::Command;

use crate::{
    device,
    error::Error,
    host::Arch,
    images::{self, Profile},
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
    let mut story = project::cargo();
    story.args([
        "run",
        "--locked",
        "--package",
        "outcrop-qemu-tests",
        "--bin",
        "outcrop-demo",
    ]);
    shell::run(story.env("OUTCROP_RELEASES", &folder))?;
    eprintln!("\nBoot the newest release on this terminal (Ctrl-A X ends it) with:\n");
    eprintln!("    {} run {}\n", outcrop.display(), image.display());
    Ok(())
}
