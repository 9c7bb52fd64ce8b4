//! The updater: looks after the releases on the device.

use std::{
    error::Error,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use outcrop_updater::{
    boot_report::{Systemctl, announce, report},
    chain,
    cli::{Cli, Command},
    grow::grow_data,
    status::read_status,
};

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // Where standard error is closed, nobody reads.
            let _ = writeln!(
                io::stderr(),
                "outcrop-updater: {}",
                chain::describe(error.as_ref())
            );
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, Box<dyn Error>> {
    let status = || read_status(Path::new("/"));
    match command {
        Command::GrowData => grow_data().map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::BootReport => {
            let status = status()?;
            let report = report(&status, &Systemctl, &uptime)?;
            announce(&report, Path::new("/dev/kmsg"))?;
            Ok(if report.healthy {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Status { json } => {
            let status = status()?;
            let text = if *json {
                serde_json::to_string_pretty(&status)? + "\n"
            } else {
                status.to_text()
            };
            io::stdout().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Time since the kernel's start, on the clock of its log.
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.try_into().unwrap_or_default()
}
