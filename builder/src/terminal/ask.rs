//! Questions to the person at the terminal.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// How often Ctrl-C is looked at while nobody answers.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

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
    loop {
        if cancelled.load(Ordering::Relaxed) {
            writeln!(error)?;
            return Ok(false);
        }
        match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&TICK)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    Ok(is_yes(&line))
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
