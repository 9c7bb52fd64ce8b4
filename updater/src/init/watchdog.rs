//! The hardware watchdog: started before the system is, so that nothing that hangs later hangs for ever.
//!
//! Source: Linux, `Documentation/watchdog/watchdog-api.rst`.

#![allow(unsafe_code)]

use std::{ffi::c_int, fs::File, io, path::Path};

use rustix::ioctl::{Updater, ioctl, opcode};

/// `WDIOC_SETTIMEOUT`
const SET_TIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<c_int>(b'W', 6);

/// How a watchdog was started.
#[derive(Debug, PartialEq, Eq)]
pub enum Started {
    /// It resets the machine after so many seconds, unless somebody takes it over before.
    Seconds(c_int),
    /// It doesn't take another limit than its own.
    OwnLimit,
    /// There is none.
    None,
}

/// Starts the watchdog at `device`: opening it does, and closing it without the letter V leaves it running. It shall wait
/// `seconds`; some can't wait so long and take the most that they can.
///
/// # Errors
/// When there is one and it can't be started.
pub fn start(device: &Path, seconds: c_int) -> io::Result<Started> {
    let watchdog = match File::options().write(true).open(device) {
        Ok(watchdog) => watchdog,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Started::None),
        Err(error) => return Err(error),
    };
    let mut limit = seconds;
    // SAFETY: the request reads and writes one `int` at the pointer, which `Updater` borrows for as long as the call.
    let told = unsafe { ioctl(&watchdog, Updater::<SET_TIMEOUT, c_int>::new(&mut limit)) };
    Ok(match told {
        Ok(()) => Started::Seconds(limit),
        Err(_) => Started::OwnLimit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_watchdog_is_told_apart() {
        let started = start(Path::new("/nonexistent/watchdog0"), 60).unwrap();
        assert_eq!(started, Started::None);
    }

    #[test]
    fn a_device_that_takes_no_limit_keeps_its_own() {
        assert_eq!(start(Path::new("/dev/null"), 60).unwrap(), Started::OwnLimit);
    }
}
