//! PID 1 of the initramfs: finds the boot disk and the slot, sets up the verified root, `/var`, `/etc` and the machine's
//! identity, and becomes the system's PID 1.
//!
//! It decides as little as it can, and nothing twice: the decisions are pure functions in the modules, the kernel is
//! behind small traits, and [`boot`] is the list of steps.

pub mod console;
pub mod data;
pub mod disk;
pub mod dm;
pub mod efi;
mod error;
pub mod hardware;
mod judge;
mod kernel_data;
pub mod kmod;
pub mod last_end;
pub mod machine_id;
pub mod mounts;
pub mod slot;
mod steps;
pub mod switch_root;
pub mod uevent;
pub mod watchdog;

use std::{convert::Infallible, path::Path, time::Duration};

use rustix::{
    process::getpid,
    system::{RebootCommand, reboot},
    thread::ClockId,
};

use console::Console;
pub use error::InitError;
pub use steps::boot;

use crate::chain;

/// How long a failure stays on the screen before the machine starts again.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs [`boot`]. A failure is printed with its causes, and after a pause the machine reboots: never a shell, never a
/// halt, since nobody may be near. (If this process itself dies, the kernel panics, and `panic=10` reboots.)
///
/// Returns only when this isn't PID 1 of an initramfs, with what to tell the person who tried.
pub fn run() -> &'static str {
    if !getpid().is_init() || !Path::new("/init").exists() {
        return "outcrop-init is PID 1 of Outcrop's initramfs; it does nothing anywhere else";
    }
    let mut console = Console::default();
    let Err(error) = boot(&mut console);
    console.fatal(&format!("failed: {}", chain::describe(&error)));
    console.fatal(&format!("reboot in {} s", PAUSE.as_secs()));
    std::thread::sleep(PAUSE);
    match reboot(RebootCommand::Restart) {
        Ok(()) => "",
        Err(_) => "the machine can't be rebooted",
    }
}

/// Time since the kernel started.
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    now.try_into().unwrap_or_default()
}

/// What [`boot`] returns: it never ends well, it becomes another program.
type Never = Infallible;
