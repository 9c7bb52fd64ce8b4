//! Watching a machine's console until the boot report says how it went.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::progress::{Cancelled, Progress};

/// What the boot report prints on the console when everything came up.
const HEALTHY: &str = "outcrop: healthy: ";
/// What it prints when something didn't.
const DEGRADED: &str = "outcrop: degraded: ";
/// How often Ctrl-C is looked at.
const TICK: Duration = Duration::from_millis(200);

/// How a boot went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything came up; the report's words.
    Healthy(String),
    /// The machine is there, but something isn't; the report's words.
    Degraded(String),
    /// The time is over.
    TimeOut,
    /// The machine ended without a report.
    Ended,
}

/// A machine that doesn't outlive its watcher.
struct Watched(Child);

impl Drop for Watched {
    fn drop(&mut self) {
        // Both fail only when the machine has ended already.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// Starts `machine`, whose console is its standard output, hands each line of the console to `tell`, and ends the
/// machine with the verdict.
///
/// # Errors
/// When the program can't be started; [`Cancelled`] as an I/O error after Ctrl-C.
pub fn watch(
    machine: &mut Command,
    limit: Duration,
    progress: &dyn Progress,
    tell: &mut dyn FnMut(&str),
) -> std::io::Result<Verdict> {
    let mut child = Watched(machine.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let console = child.0.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    Ok(verdict(&lines(console), limit, progress, tell)?)
}

/// The console's lines; the channel closes when the machine ends.
fn lines(console: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn verdict(
    lines: &Receiver<String>,
    limit: Duration,
    progress: &dyn Progress,
    tell: &mut dyn FnMut(&str),
) -> Result<Verdict, Cancelled> {
    let deadline = Instant::now() + limit;
    loop {
        progress.checkpoint()?;
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left.min(TICK)) {
            Err(RecvTimeoutError::Disconnected) => return Ok(Verdict::Ended),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(Verdict::TimeOut),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(line) => {
                tell(&line);
                let after = |mark| {
                    line.split_once(mark)
                        .map(|(_, words): (_, &str)| words.to_owned())
                };
                if let Some(words) = after(HEALTHY) {
                    return Ok(Verdict::Healthy(words));
                }
                if let Some(words) = after(DEGRADED) {
                    return Ok(Verdict::Degraded(words));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Phase, Silent, Unit};

    fn watch_shell(
        script: &str,
        limit: Duration,
        progress: &dyn Progress,
    ) -> (std::io::Result<Verdict>, Vec<String>) {
        let mut told = Vec::new();
        let mut machine = Command::new("sh");
        machine.args(["-c", script]);
        let verdict = watch(&mut machine, limit, progress, &mut |line| {
            told.push(line.to_owned());
        });
        (verdict, told)
    }

    #[test]
    fn the_boot_report_ends_the_watch_and_the_machine() {
        let long = Duration::from_secs(60);
        let (verdict, told) = watch_shell(
            "echo a; echo '[ 1.2] outcrop: healthy: edge up'; sleep 60",
            long,
            &Silent,
        );
        assert_eq!(verdict.unwrap(), Verdict::Healthy("edge up".to_owned()));
        assert_eq!(told, ["a", "[ 1.2] outcrop: healthy: edge up"]);
        let (verdict, _) = watch_shell("echo 'outcrop: degraded: no /var'; sleep 60", long, &Silent);
        assert_eq!(verdict.unwrap(), Verdict::Degraded("no /var".to_owned()));
    }

    #[test]
    fn a_machine_that_says_nothing_is_given_up_and_one_that_ends_is_noticed() {
        let (verdict, _) = watch_shell("sleep 60", Duration::from_millis(50), &Silent);
        assert_eq!(verdict.unwrap(), Verdict::TimeOut);
        let (verdict, told) = watch_shell("echo panic", Duration::from_secs(60), &Silent);
        assert_eq!(
            (verdict.unwrap(), told),
            (Verdict::Ended, vec!["panic".to_owned()])
        );
    }

    #[test]
    fn ctrl_c_ends_the_watch() {
        struct Asked;
        impl Progress for Asked {
            fn phase(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Phase> {
                Box::new(Silent)
            }
            fn note(&self, _: &str) {}
            fn checkpoint(&self) -> Result<(), Cancelled> {
                Err(Cancelled)
            }
        }
        let (verdict, _) = watch_shell("sleep 60", Duration::from_secs(60), &Asked);
        assert_eq!(verdict.unwrap_err().to_string(), "interrupted");
    }
}
