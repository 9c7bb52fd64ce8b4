//! One look at a check on the real system.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{MemfdFlags, memfd_create, statvfs},
    process::{Pid, Signal, kill_process_group},
};

use super::{
    board::Look,
    definition::{Check, Kind},
};
use crate::{
    chain,
    web::{self, look_up},
};

/// systemd-timesyncd makes it once the clock was set from the network.
const CLOCK_SET: &str = "/run/systemd/timesync/synchronized";
/// How often a running program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(50);
/// Bytes of a program's output that are kept for its reason.
const OUTPUT_BYTES: u64 = 4096;

/// Looks once.
#[must_use]
pub fn look(check: &Check) -> Look {
    match &check.kind {
        Kind::Unit(name) => unit(name),
        Kind::Command(words) => command(words, check.timeout, Look::Not),
        Kind::Script(path) => command(
            &["/bin/bash".to_owned(), path.clone()],
            check.timeout,
            Look::Never,
        ),
        Kind::Http { url, status } => http(url, check.timeout, |answer| answer == *status),
        Kind::UpdateServer(url) => http(url, check.timeout, |answer| answer < 500),
        Kind::Tcp(address) => tcp(address, check.timeout),
        Kind::Space { path, free } => space(path, *free),
        Kind::Clock => clock(Path::new(CLOCK_SET)),
    }
}

fn unit(name: &str) -> Look {
    let run = Command::new("/usr/bin/systemctl")
        .args(["show", "--property=ActiveState", "--value", "--", name])
        .stdin(Stdio::null())
        .output();
    match run {
        Ok(run) => unit_state(String::from_utf8_lossy(&run.stdout).trim()),
        Err(error) => Look::Not(format!("start systemctl: {error}")),
    }
}

fn unit_state(state: &str) -> Look {
    match state {
        "active" => Look::Holds,
        // One that will be restarted is `activating`.
        "failed" => Look::Never("the unit has failed".to_owned()),
        state => Look::Not(format!("the unit is {state}")),
    }
}

/// Runs a program; `fails` makes a look of the reason why it didn't end well.
fn command(words: &[String], timeout: Duration, fails: fn(String) -> Look) -> Look {
    match run(words, timeout) {
        Ok(Ended::Status(status, _)) if status.success() => Look::Holds,
        Ok(Ended::Status(status, output)) => fails(match output.as_str() {
            "" => status.to_string(),
            output => format!("{status}: {output}"),
        }),
        Ok(Ended::TooLate) => fails(format!("it didn't end within {} s", timeout.as_secs())),
        Err(error) => fails(format!("start {}: {error}", words.join(" "))),
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

fn http(url: &str, timeout: Duration, is_good: impl Fn(u16) -> bool) -> Look {
    match web::status(url, timeout) {
        Ok(status) if is_good(status) => Look::Holds,
        Ok(status) => Look::Not(format!("{url} answers {status}")),
        Err(error) => Look::Not(format!("{url}: {}", chain::describe(&error))),
    }
}

fn tcp(address: &str, timeout: Duration) -> Look {
    match connect(address, timeout) {
        Ok(()) => Look::Holds,
        Err(error) => Look::Not(format!("connect to {address}: {error}")),
    }
}

fn connect(address: &str, timeout: Duration) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "it is no HOST:PORT");
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let port: u16 = port.parse().map_err(|_| invalid())?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for host in look_up(host.trim_matches(['[', ']']))? {
        match TcpStream::connect_timeout(&SocketAddr::new(host, port), timeout) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn space(path: &str, needed: u64) -> Look {
    match statvfs(path) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            if free >= needed {
                Look::Holds
            } else {
                Look::Not(format!(
                    "{path} has {} MiB free, {} are needed",
                    free >> 20,
                    needed >> 20
                ))
            }
        }
        Err(error) => Look::Not(format!("look at {path}: {error}")),
    }
}

fn clock(set: &Path) -> Look {
    if set.exists() {
        Look::Holds
    } else {
        Look::Not("the clock wasn't set from the network yet".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn shell(script: &str, timeout: Duration) -> Look {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        command(&words, timeout, Look::Not)
    }

    #[test]
    fn a_program_that_ends_with_0_holds_and_another_one_says_why() {
        assert_eq!(shell("exit 0", SECOND * 10), Look::Holds);
        let look = shell("echo first; echo no network >&2; exit 3", SECOND * 10);
        assert_eq!(look, Look::Not("exit status: 3: no network".to_owned()));
    }

    #[test]
    fn a_program_that_says_a_lot_is_not_held_up() {
        let look = shell("head -c 3000000 /dev/zero | tr '\\0' 'x'; exit 1", SECOND * 20);
        assert!(matches!(look, Look::Not(why) if why.contains("xxx")));
    }

    #[test]
    fn a_program_that_never_ends_is_ended_with_all_that_it_started() {
        let begin = Instant::now();
        let look = shell("sleep 1000 & sleep 1000", SECOND);
        assert_eq!(look, Look::Not("it didn't end within 1 s".to_owned()));
        assert!(begin.elapsed() < SECOND * 20);
    }

    #[test]
    fn a_program_that_is_missing_is_told() {
        let look = command(&["/nonexistent".to_owned()], SECOND, Look::Not);
        assert!(matches!(look, Look::Not(why) if why.contains("start /nonexistent")));
    }

    #[test]
    fn a_script_of_greenboot_that_fails_is_final() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("10-check.sh");
        std::fs::write(&path, "echo broken; exit 1\n").unwrap();
        let check = Check::script("x", &path.display().to_string(), super::super::Need::Required);
        let check = Check {
            timeout: SECOND * 10,
            ..check
        };
        assert!(matches!(look(&check), Look::Never(why) if why.contains("broken")));
    }

    #[test]
    fn units_are_judged_by_their_state() {
        assert_eq!(unit_state("active"), Look::Holds);
        assert!(matches!(unit_state("activating"), Look::Not(_)));
        assert!(matches!(unit_state("failed"), Look::Never(_)));
    }

    #[test]
    fn a_port_that_listens_holds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(tcp(&address, SECOND), Look::Holds);
        drop(listener);
        assert!(matches!(tcp(&address, SECOND), Look::Not(_)));
        assert!(matches!(tcp("nonsense", SECOND), Look::Not(why) if why.contains("HOST:PORT")));
    }

    #[test]
    fn space_and_clock_are_looked_at() {
        assert_eq!(space("/", 1), Look::Holds);
        assert!(matches!(space("/", u64::MAX), Look::Not(why) if why.contains("MiB free")));
        assert!(matches!(space("/nonexistent", 1), Look::Not(_)));
        assert_eq!(clock(Path::new("/")), Look::Holds);
        assert!(matches!(clock(Path::new("/nonexistent")), Look::Not(_)));
    }
}
