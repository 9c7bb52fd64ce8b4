//! Runs a program that Ctrl-C can end.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::AptError;
use crate::progress::Progress;

/// The wait between two looks at the program.
const POLL: Duration = Duration::from_millis(10);
/// What a program that was asked to end gets before it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// Runs `command` to its end, or until the user asks to stop: then it ends too, with all that it started. It gets a process
/// group of its own for that; apt's methods would otherwise wait for their servers.
pub(super) fn output(mut command: Command, progress: &dyn Progress) -> Result<Output, AptError> {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => AptError::NoApt,
        _ => AptError::Run(error),
    })?;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let ended = wait(&mut child, progress).and_then(|status| {
        wait_drained(&[&stdout, &stderr], progress)?;
        Ok(status)
    });
    if ended.is_err() {
        end(&mut child);
    }
    let (status, stdout, stderr) = (ended?, bytes(stdout)?, bytes(stderr)?);
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

fn wait(child: &mut Child, progress: &dyn Progress) -> Result<ExitStatus, AptError> {
    loop {
        if let Some(status) = child.try_wait().map_err(AptError::Run)? {
            // A program that heard Ctrl-C too may be faster than this one.
            progress.checkpoint()?;
            return Ok(status);
        }
        progress.checkpoint()?;
        thread::sleep(POLL);
    }
}

/// Waits for the pipes' ends: a program that the first one left behind may hold them open.
fn wait_drained(pipes: &[&JoinHandle<io::Result<Vec<u8>>>], progress: &dyn Progress) -> Result<(), AptError> {
    while !pipes.iter().all(|pipe| pipe.is_finished()) {
        progress.checkpoint()?;
        thread::sleep(POLL);
    }
    Ok(())
}

/// Ends the program and all of its group. Whatever fails here, the error that led here is the one to tell.
fn end(child: &mut Child) {
    let group = Pid::from_child(child);
    let _gone_already = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(POLL);
    }
    let _gone_already = kill_process_group(group, Signal::KILL);
    let _status = child.wait();
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    })
}

fn bytes(drain: JoinHandle<io::Result<Vec<u8>>>) -> Result<Vec<u8>, AptError> {
    let read = drain
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    read.map_err(AptError::Run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Cancelled, Phase, Silent, Unit};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_says_and_how_it_ends_is_told() {
        let output = output(shell("echo one; echo two >&2; exit 3"), &Silent).unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((&*output.stdout, &*output.stderr), (&b"one\n"[..], &b"two\n"[..]));
        assert!(matches!(
            super::output(Command::new("no-such-program"), &Silent),
            Err(AptError::NoApt)
        ));
    }

    /// Asks to stop half a second after it was made.
    struct Impatient(Instant);

    impl Progress for Impatient {
        fn phase(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Phase> {
            Box::new(Silent)
        }

        fn note(&self, _: &str) {}

        fn checkpoint(&self) -> Result<(), Cancelled> {
            if self.0.elapsed() > Duration::from_millis(500) {
                return Err(Cancelled);
            }
            Ok(())
        }
    }

    #[test]
    fn a_program_that_leaves_another_one_behind_can_be_stopped_too() {
        let begun = Instant::now();
        let error = output(shell("sleep 30 & exit 0"), &Impatient(begun)).unwrap_err();
        assert!(matches!(error, AptError::Cancelled(_)), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_ignores_the_request_to_end_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; (sleep 4; touch late) & while :; do sleep 1; done";
        let mut command = shell(script);
        command.current_dir(folder.path());
        let begun = Instant::now();
        let error = output(command, &Impatient(begun)).unwrap_err();
        assert!(matches!(error, AptError::Cancelled(_)), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(4));
        thread::sleep(Duration::from_secs(5).saturating_sub(begun.elapsed()));
        assert!(!folder.path().join("late").exists());
    }
}
