//! What can be typed after `outcrop-updater`.

use clap::{Parser, Subcommand};

/// Looks after the releases on this device.
#[derive(Debug, Parser)]
#[command(name = "outcrop-updater", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand, PartialEq, Eq)]
pub enum Command {
    /// Waits until the system has started, then says on the console in one line how that went.
    BootReport,
    /// Makes the data partition reach the end of the disk.
    GrowData,
    /// Says which release runs, from where, and what is wrong.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_and_options_are_understood() {
        let command = |args: &[&str]| Cli::parse_from(args).command;
        assert_eq!(command(&["outcrop-updater", "boot-report"]), Command::BootReport);
        assert_eq!(
            command(&["outcrop-updater", "status", "--json"]),
            Command::Status { json: true }
        );
    }
}
