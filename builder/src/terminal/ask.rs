//! Questions to the person at the terminal.

use std::{
    fs::File,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr},
};
use zeroize::Zeroizing;

/// How often Ctrl-C is looked at while nobody answers.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// Longest secret, in bytes, with its line break.
const LONGEST_SECRET: usize = 1024;

/// Asks a yes-or-no question; no answer, or Ctrl-C, is no.
pub type Ask = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// The person at the terminal; none when standard input or standard error is no terminal.
#[must_use]
pub fn person(cancelled: Arc<AtomicBool>) -> Option<Ask> {
    let there = io::stdin().is_terminal() && io::stderr().is_terminal();
    there.then(|| -> Ask { Box::new(move |question| ask(question, &cancelled).unwrap_or(false)) })
}

fn ask(question: &str, cancelled: &AtomicBool) -> io::Result<bool> {
    let mut error = io::stderr();
    write!(error, "{question} [y/N] ")?;
    error.flush()?;
    let input = io::stdin();
    if !answered(&input, cancelled)? {
        writeln!(error)?;
        return Ok(false);
    }
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    Ok(is_yes(&line))
}

/// Waits for an answer; false when the user asked to stop instead.
fn answered(input: &impl AsFd, cancelled: &AtomicBool) -> io::Result<bool> {
    while !cancelled.load(Ordering::Relaxed) {
        match poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&TICK)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Asks for a secret; none when there is no answer.
pub type AskSecret = Box<dyn Fn(&str) -> Option<Zeroizing<String>> + Send + Sync>;

/// Asks for secrets on the process's terminal, whatever the standard streams are.
#[must_use]
pub fn secrets(cancelled: Arc<AtomicBool>) -> AskSecret {
    Box::new(move |question| ask_secret(question, &cancelled).ok().flatten())
}

fn ask_secret(question: &str, cancelled: &AtomicBool) -> io::Result<Option<Zeroizing<String>>> {
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    write!(&terminal, "{question}: ")?;
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST_SECRET));
    {
        let _hidden = Hidden::begin(&terminal)?;
        let mut byte = Zeroizing::new([0]);
        while line.len() < LONGEST_SECRET && line.last() != Some(&b'\n') && answered(&terminal, cancelled)? {
            match (&terminal).read(byte.as_mut())? {
                0 => break,
                _ => line.extend_from_slice(byte.as_ref()),
            }
        }
    }
    writeln!(&terminal)?;
    // A line that was cut, by Ctrl-C or by its length, is no answer.
    let whole = line
        .strip_suffix(b"\n")
        .and_then(|text| std::str::from_utf8(text).ok());
    Ok(whole.map(|text| Zeroizing::new(text.to_owned())))
}

/// While it lives, what is typed isn't shown.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _restored = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_clear_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes(" Yes "));
        assert!(!is_yes("") && !is_yes("\n") && !is_yes("yep") && !is_yes("n\n"));
    }
}
