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
    boot_report::{Systemctl, Systemd as _, announce, report},
    chain,
    cli::{Cli, Command},
    commands::{self, CommandError},
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
            let code = error.downcast_ref::<CommandError>().map(CommandError::exit_code);
            code.map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, Box<dyn Error>> {
    let root = Path::new("/");
    let judged = |good| {
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    };
    match command {
        Command::Agent(options) => commands::agent(root, options)?,
        Command::Approve(options) => commands::approve(root, options)?,
        Command::Check(options) => commands::check(root, options)?,
        Command::History(options) => commands::history(root, options)?,
        Command::Install(options) => commands::install(root, options)?,
        Command::InstallToDisk(options) => commands::install_to_disk(root, options)?,
        Command::Health(options) => return judged(commands::health(root, options)?),
        Command::Commit => commands::commit(root)?,
        Command::Report(options) => commands::report(root, options)?,
        Command::Rollback { reboot } => commands::rollback(root, *reboot)?,
        Command::State(command) => commands::state(root, command)?,
        Command::Join(options) => commands::join(root, options)?,
        Command::Drain { limit } => return judged(commands::drain(root, *limit)?),
        Command::Uncordon => commands::uncordon(root)?,
        Command::TrialFailed => commands::trial_vetoed(root)?,
        Command::TrialDeadline => commands::trial_deadline(root)?,
        Command::ShuttingDown => commands::shutting_down(root)?,
        Command::GrowData => grow_data()?,
        Command::BootReport => {
            commands::catch_up(root)?;
            // What starts late may have something to say, too.
            Systemctl.settled_state()?;
            let report = report(&read_status(root)?, &Systemctl, &uptime)?;
            announce(&report, Path::new("/dev/kmsg"))?;
            return judged(report.healthy);
        }
        Command::Attest { json } => return judged(commands::attest(root, *json)?),
        Command::Status { json } => commands::status(root, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Time since the kernel's start, on the clock of its log.
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.try_into().unwrap_or_default()
}
