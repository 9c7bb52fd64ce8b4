//! The serial console as a searchable log.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::error::Error;

/// How long the rest of a line may take once its beginning is there.
const LINE_TIME: Duration = Duration::from_secs(1);
/// How many lines an error shows.
const TAIL_LINES: usize = 60;
/// What a Linux guest prints when the emulator breaks `cmpxchg16b`; see docs about QEMU 7.2.
const EMULATOR_FAULTS: [&str; 2] = ["PANIC: double fault", "double fault: 0000"];

/// Everything that the machine printed so far, and the way to type at it.
#[derive(Debug)]
pub struct Console {
    input: UnixStream,
    log: Arc<Log>,
    /// Bytes of the log that earlier waits have passed.
    seen: usize,
}

#[derive(Debug, Default)]
struct Log {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    closed: bool,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// The console at the other end of `input`, read from now on.
    ///
    /// # Errors
    /// When the connection can't be shared with the reader.
    pub fn on(input: UnixStream) -> Result<Self, Error> {
        let output = input.try_clone().map_err(Error::io("read the serial console"))?;
        let log = Arc::new(Log::default());
        let writer = Arc::clone(&log);
        thread::spawn(move || collect(output, &writer));
        Ok(Self { input, log, seen: 0 })
    }

    /// Waits until the console says `wanted` after what earlier waits found; returns the whole line.
    ///
    /// # Errors
    /// After `limit`, or when QEMU ended, with the console's last lines.
    pub fn expect(&mut self, wanted: &str, limit: Duration) -> Result<String, Error> {
        self.expect_any(&[wanted], limit).map(|(_, line)| line)
    }

    /// Waits for the first of several texts; returns its index and its line.
    ///
    /// # Errors
    /// As [`Console::expect`].
    pub fn expect_any(&mut self, wanted: &[&str], limit: Duration) -> Result<(usize, String), Error> {
        let deadline = Instant::now() + limit;
        let mut found_at = None;
        let mut state = self.log.lock();
        loop {
            if let Some(fault) = EMULATOR_FAULTS
                .iter()
                .find(|fault| find(&state.text, fault, 0).is_some())
            {
                return Err(Error::Emulator((*fault).to_owned()));
            }
            let found = first_of(&state.text, wanted, self.seen);
            if let Some((index, at)) = found {
                let first = *found_at.get_or_insert_with(Instant::now);
                // A slow line comes in pieces; a prompt has no end.
                if state.text[at..].contains(&b'\n') || first.elapsed() >= LINE_TIME || state.closed {
                    self.seen = at + wanted[index].len();
                    return Ok((index, line_around(&state.text, at)));
                }
            }
            if state.closed {
                return Err(Error::Ended {
                    wanted: wanted.join(" or "),
                    tail: tail(&state.text),
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && found.is_none() {
                return Err(Error::Silent {
                    wanted: wanted.join(" or "),
                    waited: limit,
                    tail: tail(&state.text),
                });
            }
            state = self
                .log
                .grown
                .wait_timeout(state, if found.is_some() { LINE_TIME } else { left })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for `wanted` and returns everything between the last wait's find and it.
    ///
    /// # Errors
    /// As [`Console::expect`].
    pub fn read_until(&mut self, wanted: &str, limit: Duration) -> Result<String, Error> {
        let start = self.seen;
        self.expect(wanted, limit)?;
        let end = self.seen - wanted.len();
        Ok(String::from_utf8_lossy(&self.log.lock().text[start..end]).into_owned())
    }

    /// Types `text`, as it is.
    ///
    /// # Errors
    /// When QEMU ended.
    pub fn send(&mut self, text: &str) -> Result<(), Error> {
        self.input
            .write_all(text.as_bytes())
            .map_err(Error::io("type at the serial console"))
    }

    /// Everything printed so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().text).into_owned()
    }

    /// Whether `text` was printed at any time.
    #[must_use]
    pub fn has(&self, text: &str) -> bool {
        find(&self.log.lock().text, text, 0).is_some()
    }

    /// What was printed after what the last wait found.
    #[must_use]
    pub fn rest(&self) -> String {
        let state = self.log.lock();
        String::from_utf8_lossy(state.text.get(self.seen..).unwrap_or_default()).into_owned()
    }
}

fn collect(mut output: UnixStream, log: &Log) {
    let mut buffer = [0; 4096];
    loop {
        match output.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => log.lock().text.extend_from_slice(&buffer[..length]),
        }
        log.grown.notify_all();
    }
    log.lock().closed = true;
    log.grown.notify_all();
}

fn find(text: &[u8], wanted: &str, from: usize) -> Option<usize> {
    let tail = text.get(from..)?;
    tail.windows(wanted.len().max(1))
        .position(|window| window == wanted.as_bytes())
        .map(|at| from + at)
}

fn first_of(text: &[u8], wanted: &[&str], from: usize) -> Option<(usize, usize)> {
    let found = wanted
        .iter()
        .enumerate()
        .filter_map(|(index, word)| find(text, word, from).map(|at| (index, at)));
    found.min_by_key(|(_, at)| *at)
}

fn line_around(text: &[u8], at: usize) -> String {
    let start = text[..at]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let end = text[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(text.len(), |newline| at + newline);
    String::from_utf8_lossy(&text[start..end]).trim_end().to_owned()
}

fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> (Console, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        (Console::on(here).unwrap(), there)
    }

    #[test]
    fn a_wait_finds_text_that_comes_in_pieces_and_returns_its_line() {
        let (mut console, mut machine) = console();
        machine.write_all(b"booting\r\nhel").unwrap();
        machine.write_all(b"lo world\r\n").unwrap();
        assert_eq!(
            console.expect("hello", Duration::from_secs(5)).unwrap(),
            "hello world"
        );
    }

    #[test]
    fn a_second_wait_doesn_t_find_the_first_ones_text_again() {
        let (mut console, mut machine) = console();
        machine.write_all(b"login: \n").unwrap();
        console.expect("login:", Duration::from_secs(5)).unwrap();
        let error = console.expect("login:", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Error::Silent { .. }), "{error}");
    }

    #[test]
    fn when_the_machine_ends_the_wait_ends_and_shows_the_last_lines() {
        let (mut console, mut machine) = console();
        machine.write_all(b"panic!\n").unwrap();
        drop(machine);
        let error = console.expect("never", Duration::from_secs(5)).unwrap_err();
        assert!(
            matches!(&error, Error::Ended { tail, .. } if tail == "panic!"),
            "{error}"
        );
    }

    #[test]
    fn an_emulator_fault_is_told_apart_from_the_guests_failures() {
        let (mut console, mut machine) = console();
        machine
            .write_all(b"PANIC: double fault, error_code: 0x0\nhealthy\n")
            .unwrap();
        let error = console.expect("healthy", Duration::from_secs(5)).unwrap_err();
        assert!(matches!(error, Error::Emulator(_)), "{error}");
    }
}
