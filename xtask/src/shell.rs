//! Running programs, each told on standard error before it starts.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::error::Error;

/// A command that took longer says how long.
const WORTH_TELLING: Duration = Duration::from_secs(5);

/// Runs `command` with the terminal's streams; its failure is ours.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let text = describe(command);
    eprintln!("+ {text}");
    let started = Instant::now();
    let status = command.status().map_err(|source| Error::Start {
        command: text.clone(),
        source,
    })?;
    let took = started.elapsed();
    if took > WORTH_TELLING {
        eprintln!("= {} s: {text}", took.as_secs());
    }
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed {
            command: text,
            status,
        })
    }
}

/// Runs `command` quietly and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let text = describe(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start {
            command: text.clone(),
            source,
        })?;
    if !output.status.success() {
        return Err(Error::Failed {
            command: text,
            status: output.status,
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `command` can be started and succeeds; it prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// The command as one would type it.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
