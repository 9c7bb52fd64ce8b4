//! PID 1 of the initramfs.

use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    let why = outcrop_updater::init::run();
    // Only somebody who started it by hand reads this.
    let _ = writeln!(std::io::stderr(), "{why}");
    ExitCode::FAILURE
}
