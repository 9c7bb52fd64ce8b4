//! `cargo xtask demo`: from nothing to a booted, healthy image.

use std::process::Command;

use crate::{
    device,
    error::Error,
    host::Arch,
    images::{self, Profile},
    packages::{self, Install, Needs},
    shell,
};

/// Seconds that the image may take to boot in software emulation on a slow machine.
const BOOT_SECONDS: &str = "600";

/// Installs what is missing, builds the default image for x86_64, boots it until it says that it is healthy.
pub(crate) fn run(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Demo, install)?;
    device::build(install)?;
    let outcrop = images::builder(Profile::Dev)?;
    let folder = images::build(&outcrop, "edge.toml", &[Arch::X86_64])?;
    let image = images::find(&folder, "edge", Arch::X86_64)?;
    shell::run(Command::new(&outcrop).arg("inspect").arg(&image))?;
    shell::run(Command::new(&outcrop).arg("run").arg(&image).args([
        "--until-healthy",
        "--timeout",
        BOOT_SECONDS,
    ]))?;
    eprintln!("\nThe image boots and is healthy. Boot it on this terminal (Ctrl-A X ends it) with:\n");
    eprintln!("    {} run {}\n", outcrop.display(), image.display());
    Ok(())
}
