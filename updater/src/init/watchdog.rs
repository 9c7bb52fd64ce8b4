//! The hardware watchdog: started before the system is, so that nothing that hangs later hangs for ever.
//!
//! Source: Linux, `Documentation/watchdog/watchdog-api.rst`.

#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    fs::File,
    io::{self, Write as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::ioctl::{Updater, ioctl, opcode};

/// `WDIOC_SETTIMEOUT`
const SET_TIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<c_int>(b'W', 6);

/// Limits that are asked for, longest first: a driver refuses what its hardware can't count.
const LIMITS: [c_int; 4] = [120, 60, 30, 15];
/// How often it is calmed while `outcrop-init` works.
const CALM: Duration = Duration::from_secs(5);
/// Nothing that `outcrop-init` does takes longer: the check of a large data partition is the longest.
const LONGEST: Duration = Duration::from_secs(1800);

/// A watchdog that runs.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
    /// The limit that it took, in seconds; none when it has its own.
    pub seconds: Option<c_int>,
}

impl Watchdog {
    /// Starts the watchdog at `device`: opening it does. None when there is none.
    ///
    /// # Errors
    /// When there is one and it can't be started.
    pub fn start(device: &Path) -> io::Result<Option<Self>> {
        let file = match File::options().write(true).open(device) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let seconds = LIMITS.into_iter().find_map(|limit| set_limit(&file, limit));
        Ok(Some(Self { file, seconds }))
    }

    /// Calms it from a thread of its own for as long as this process goes on, but not for ever. When the process becomes another one,
    /// the thread ends and the file is closed without the letter V: it runs on, and who comes next has the whole limit to take it over.
    pub fn calm_meanwhile(mut self) {
        thread::spawn(move || {
            let begin = Instant::now();
            while begin.elapsed() < LONGEST && self.file.write_all(b"\0").is_ok() {
                thread::sleep(CALM);
            }
        });
    }
}

/// The limit that it has now, if it took one.
fn set_limit(watchdog: &File, seconds: c_int) -> Option<c_int> {
    let mut limit = seconds;
    // SAFETY: the request reads and writes one `int` at the pointer, which `Updater` borrows for as long as the call.
    let told = unsafe { ioctl(watchdog, Updater::<SET_TIMEOUT, c_int>::new(&mut limit)) };
    told.is_ok().then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_watchdog_is_told_apart() {
        assert!(
            Watchdog::start(Path::new("/nonexistent/watchdog0"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_device_that_takes_no_limit_keeps_its_own() {
        let watchdog = Watchdog::start(Path::new("/dev/null")).unwrap().unwrap();
        assert_eq!(watchdog.seconds, None);
    }
}
