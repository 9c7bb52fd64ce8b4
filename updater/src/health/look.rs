//! One look at a check on the real system.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::fs::statvfs;

use super::{
    board::Look,
    definition::{Check, Kind, KubernetesQuestion},
};
use crate::{
    chain,
    kubernetes::{Ours, OursError, Question, ask},
    process,
    web::{self, look_up},
};

/// systemd-timesyncd makes it once the clock was set from the network.
const CLOCK_SET: &str = "/run/systemd/timesync/synchronized";

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
        Kind::Kubernetes { question, kubeconfig } => {
            match kubernetes(Path::new("/"), question, kubeconfig.as_deref(), check.timeout) {
                Ok(None) => Look::Holds,
                Ok(Some(trouble)) => Look::Not(trouble),
                Err(error) => Look::Not(chain::describe(&error)),
            }
        }
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
    process::succeed(words, timeout).map_or_else(fails, |()| Look::Holds)
}

fn http(url: &str, timeout: Duration, is_good: impl Fn(u16) -> bool) -> Look {
    match web::status(url, timeout) {
        Ok(status) if is_good(status) => Look::Holds,
        Ok(status) => Look::Not(format!("{url} answers {status}")),
        Err(error) => Look::Not(format!("{url}: {}", chain::describe(&error))),
    }
}

/// What is wrong with the Kubernetes of the system whose root is `root`; nothing when all is well.
fn kubernetes(
    root: &Path,
    question: &KubernetesQuestion,
    kubeconfig: Option<&str>,
    timeout: Duration,
) -> Result<Option<String>, OursError> {
    let ours = Ours::read(root)?;
    let api = ours.api(kubeconfig, timeout)?;
    let question = match question {
        KubernetesQuestion::Api => Question::Api,
        KubernetesQuestion::Node(name) => Question::Node {
            name: name.clone().unwrap_or_else(|| ours.node()),
            version: ours.version.clone(),
        },
        KubernetesQuestion::Pods(selection) => Question::Pods(selection.clone()),
        KubernetesQuestion::DaemonSets(selection) => Question::DaemonSets(selection.clone()),
    };
    Ok(ask(&api, &question)?)
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
