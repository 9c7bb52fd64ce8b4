//! Programs that the recipe or the release has run, each with a limit.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Signal, kill_process_group},
};

/// How often a running program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(50);
/// Bytes of a program's output that are kept for its reason.
const OUTPUT_BYTES: u64 = 4096;

/// Runs a program, with its arguments, to its end; kills it, and all that it has started, after `timeout`.
///
/// # Errors
/// Why it didn't end with 0, with the last line that it said.
pub fn succeed(words: &[String], timeout: Duration) -> Result<(), String> {
    match run(words, timeout) {
        Ok(Ended::Status(status, _)) if status.success() => Ok(()),
        Ok(Ended::Status(status, output)) => Err(match output.as_str() {
            "" => status.to_string(),
            output => format!("{status}: {output}"),
        }),
        Ok(Ended::TooLate) => Err(format!("it didn't end within {} s", timeout.as_secs())),
        Err(error) => Err(format!("start {}: {error}", words.join(" "))),
    }
}

enum Ended {
    /// By itself, with its last line of output.
    Status(ExitStatus, String),
    /// It was killed.
    TooLate,
}

fn run(words: &[String], timeout: Duration) -> io::Result<Ended> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // A pipe would hold up a program that says a lot.
    let output = File::from(memfd_create("outcrop-check", MemfdFlags::CLOEXEC)?);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn()?;
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Status(status, last_line(output)));
        }
        if begin.elapsed() >= timeout {
            // Whatever it has started goes too.
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Ok(Ended::TooLate);
        }
        thread::sleep(POLL);
    }
}

/// The last line that says something.
fn last_line(mut output: File) -> String {
    let mut read = || {
        let end = output.seek(io::SeekFrom::End(0))?;
        output.seek(io::SeekFrom::Start(end.saturating_sub(OUTPUT_BYTES)))?;
        let mut bytes = Vec::new();
        (&output).take(OUTPUT_BYTES).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn shell(script: &str, timeout: Duration) -> Result<(), String> {
        succeed(&["/bin/sh", "-c", script].map(str::to_owned), timeout)
    }

    #[test]
    fn a_program_that_ends_with_0_has_succeeded_and_another_one_says_why() {
        assert_eq!(shell("exit 0", SECOND * 10), Ok(()));
        let why = shell("echo first; echo no network >&2; exit 3", SECOND * 10);
        assert_eq!(why, Err("exit status: 3: no network".to_owned()));
    }

    #[test]
    fn a_program_that_says_a_lot_is_not_held_up() {
        let why = shell("head -c 3000000 /dev/zero | tr '\\0' 'x'; exit 1", SECOND * 20);
        assert!(why.unwrap_err().contains("xxx"));
    }

    #[test]
    fn a_program_that_never_ends_is_ended_with_all_that_it_started() {
        let begin = Instant::now();
        let why = shell("sleep 1000 & sleep 1000", SECOND);
        assert_eq!(why, Err("it didn't end within 1 s".to_owned()));
        assert!(begin.elapsed() < SECOND * 20);
    }

    #[test]
    fn a_program_that_is_missing_is_told() {
        let why = succeed(&["/nonexistent".to_owned()], SECOND).unwrap_err();
        assert!(why.contains("start /nonexistent"), "{why}");
    }
}
