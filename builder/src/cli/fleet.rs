//! The arguments of `outcrop fleet`.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};
use jiff::SignedDuration;

use crate::commands;

/// What to do with a fleet's reports.
#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// Tell who runs what, who lags behind and why, who differs, who is silent
    ///
    /// DIR has the reports that devices sent with `outcrop-updater report --to`: files that end with .report, also in folders. Each is
    /// checked against the key of its device; of each device the newest one counts.
    Report(ReportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Folder of the reports
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// List of the devices that are ours: their names, and what they are called, a line each [default: devices.txt in DIR; without
    /// it, all count]
    #[arg(long, value_name = "FILE")]
    devices: Option<PathBuf>,
    /// Days without a report after which a device counts as silent
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = value_parser!(i64).range(1..=3650))]
    silent: i64,
    /// Keep the number of each device's newest report, and the end of its history, in FILE, and tell reports that are older than what
    /// was there: they are played back. A file for each DIR [default: nothing is kept, and a played-back report counts until it is
    /// silent]
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    /// Write the same as one static page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl From<ReportArgs> for commands::fleet::Options {
    fn from(arguments: ReportArgs) -> Self {
        Self {
            folder: arguments.folder,
            devices: arguments.devices,
            silent: SignedDuration::from_hours(24 * arguments.silent),
            memory: arguments.memory,
            html: arguments.html,
            json: arguments.json,
        }
    }
}
