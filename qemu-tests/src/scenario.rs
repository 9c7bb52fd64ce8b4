//! What scenarios share: a test per architecture, how long things take, where bytes of a file lie on the disk.

use std::{path::Path, time::Duration};

use outcrop_builder::run::accel::Accelerator;
use outcrop_release::arch::Architecture;

use crate::{Error, Guest, Shell};

/// What the boot report prints when everything came up.
pub const HEALTHY: &str = "outcrop: healthy: ";
/// What it prints when something didn't.
pub const DEGRADED: &str = "outcrop: degraded: ";

/// Defines a test for each architecture: `x86_64::NAME` and `aarch64::NAME`.
#[macro_export]
macro_rules! on_both_architectures {
    ($($name:ident),+ $(,)?) => {
        mod x86_64 {
            $(#[test] fn $name() { super::$name(outcrop_release::arch::Architecture::X86_64); })+
        }
        mod aarch64 {
            $(#[test] fn $name() { super::$name(outcrop_release::arch::Architecture::Aarch64); })+
        }
    };
}

/// How long a boot may take: generous, since emulation on a busy machine is slow; a hang is what it must catch.
#[must_use]
pub fn boot_time(architecture: Architecture) -> Duration {
    match Accelerator::probe(architecture) {
        Accelerator::Kvm => Duration::from_secs(60),
        Accelerator::Tcg => Duration::from_secs(300),
    }
}

/// Waits until the boot report says that all is well; returns its line.
///
/// # Errors
/// When it says otherwise, or nothing in time.
pub fn wait_healthy(guest: &mut Guest) -> Result<String, Error> {
    let limit = boot_time(guest.architecture);
    let (which, line) = guest.console.expect_any(&[HEALTHY, DEGRADED], limit)?;
    if which == 0 { Ok(line) } else { Err(Error::Degraded { line, console: guest.console.text() }) }
}

/// Waits until the machine has come up and opens the serial shell (of a development image).
///
/// # Errors
/// When the machine doesn't come up whole, or the shell doesn't answer.
pub fn healthy_shell(guest: &mut Guest) -> Result<Shell<'_>, Error> {
    wait_healthy(guest)?;
    let limit = boot_time(guest.architecture);
    Shell::open(&mut guest.console, limit)
}

/// Where the first block of a file of slot A's root lies on the disk, in bytes from its start.
///
/// # Errors
/// When the image can't be read or has no such file with a block of its own.
pub fn offset_of_file(_image: &Path, _file: &str) -> Result<u64, Error> {
    todo!()
}
