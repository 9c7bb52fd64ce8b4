//! Ctrl-C, SIGTERM, and the terminal's end. See [`crate::progress`] for how the work hears of them.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

use crate::failure::FailureClass;

/// Sets the returned flag on the first signal; the second ends the process at once.
///
/// # Errors
/// When a handler can't be installed.
pub fn watch() -> io::Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the first signal finds the flag unset, then sets it.
        let code = FailureClass::Interrupted.exit_code();
        flag::register_conditional_shutdown(signal, code.into(), Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    Ok(asked)
}
