//! One line on the console when the system has started: for whoever stands before the device, and for tests.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::status::Status;

/// What is asked of systemd.
pub trait Systemd {
    /// Waits until it has no job left; returns the state that it then claims: `running`, `degraded`, ...
    ///
    /// # Errors
    /// When it can't be asked.
    fn settled_state(&self) -> io::Result<String>;

    /// Names of the units that failed.
    ///
    /// # Errors
    /// When it can't be asked.
    fn failed_units(&self) -> io::Result<Vec<String>>;
}

/// `systemctl`
#[derive(Debug, Clone, Copy)]
pub struct Systemctl;

impl Systemctl {
    fn output(args: &[&str]) -> io::Result<String> {
        let run = Command::new("/usr/bin/systemctl")
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        Ok(String::from_utf8_lossy(&run.stdout).into_owned())
    }
}

impl Systemd for Systemctl {
    fn settled_state(&self) -> io::Result<String> {
        // The exit code only repeats whether the state is "running".
        Ok(Self::output(&["is-system-running", "--wait"])?.trim().to_owned())
    }

    fn failed_units(&self) -> io::Result<Vec<String>> {
        let list = Self::output(&[
            "list-units",
            "--state=failed",
            "--plain",
            "--no-legend",
            "--full",
            "--no-pager",
        ])?;
        Ok(list
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }
}

/// How the boot went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Nothing is wrong.
    pub healthy: bool,
    /// The line, without its end.
    pub line: String,
}

/// Waits for systemd, then judges: healthy only if it runs, no unit failed, and `outcrop-init` had nothing to say.
///
/// `up` tells the time since the kernel's start.
///
/// # Errors
/// When systemd can't be asked.
pub fn report(status: &Status, systemd: &dyn Systemd, up: &dyn Fn() -> Duration) -> io::Result<Report> {
    let state = systemd.settled_state()?;
    let failed = systemd.failed_units()?;
    let mut troubles = status.degraded.clone();
    if !failed.is_empty() {
        troubles.push(format!("failed: {}", failed.join(", ")));
    }
    if troubles.is_empty() && state != "running" {
        troubles.push(format!("systemd is {state}"));
    }
    let healthy = troubles.is_empty();
    let mut line = format!(
        "outcrop: {}: {}",
        if healthy { "healthy" } else { "degraded" },
        status.title()
    );
    let _ = write!(
        line,
        ", initramfs {} ms, up {} ms",
        status.initramfs_milliseconds,
        up().as_millis()
    );
    for trouble in troubles {
        line = line + "; " + &trouble;
    }
    Ok(Report { healthy, line })
}

/// Says the report's line in the kernel's log, which the kernel prints on every console, at a level that `quiet` hides only
/// when nothing is wrong.
///
/// # Errors
/// When the log can't be written.
pub fn announce(report: &Report, log: &Path) -> io::Result<()> {
    let level = if report.healthy { 5 } else { 3 };
    let record = format!("<{level}>{}\n", report.line);
    File::options()
        .append(true)
        .open(log)?
        .write_all(record.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::status;

    struct Fake(&'static str, &'static [&'static str]);

    impl Systemd for Fake {
        fn settled_state(&self) -> io::Result<String> {
            Ok(self.0.to_owned())
        }

        fn failed_units(&self) -> io::Result<Vec<String>> {
            Ok(self.1.iter().map(|&unit| unit.to_owned()).collect())
        }
    }

    fn line(status: &Status, systemd: &Fake) -> Report {
        report(status, systemd, &|| Duration::from_millis(12_345)).unwrap()
    }

    #[test]
    fn a_running_system_without_complaints_is_healthy() {
        let report = line(&status(), &Fake("running", &[]));
        assert!(report.healthy);
        assert_eq!(
            report.line,
            "outcrop: healthy: edge 0.1.0 x86_64 slot a, initramfs 700 ms, up 12345 ms"
        );
    }

    #[test]
    fn failed_units_and_inits_reasons_are_in_the_line() {
        let degraded = Status {
            degraded: vec!["/var is in memory: x".to_owned()],
            ..status()
        };
        let report = line(&degraded, &Fake("degraded", &["a.service", "b.mount"]));
        assert!(!report.healthy);
        assert!(
            report
                .line
                .starts_with("outcrop: degraded: edge 0.1.0 x86_64 slot a")
        );
        assert!(
            report
                .line
                .ends_with("; /var is in memory: x; failed: a.service, b.mount")
        );
    }

    #[test]
    fn inits_reason_alone_makes_it_degraded_though_systemd_is_content() {
        let degraded = Status {
            degraded: vec!["x".to_owned()],
            ..status()
        };
        assert!(!line(&degraded, &Fake("running", &[])).healthy);
    }

    #[test]
    fn a_state_that_isnt_running_is_never_healthy() {
        for state in ["stopping", "maintenance", "starting", "", "offline"] {
            let report = line(&status(), &Fake(state, &[]));
            assert!(!report.healthy && report.line.ends_with(&format!("systemd is {state}")));
        }
    }

    #[test]
    fn the_line_is_one_record_of_the_kernels_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("kmsg");
        std::fs::write(&log, "").unwrap();
        let report = Report {
            healthy: false,
            line: "outcrop: degraded".to_owned(),
        };
        announce(&report, &log).unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "<3>outcrop: degraded\n");
    }
}
