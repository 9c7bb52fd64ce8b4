//! What can be typed after `outcrop-updater`.

use clap::{Parser, Subcommand};

use crate::commands::{
    AgentOptions, ApproveOptions, CheckOptions, HealthOptions, HistoryOptions, InstallOptions, JoinOptions,
    ReportOptions, StateCommand, ToDiskOptions,
};

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
    /// Says which releases there are, which one runs, and how the last one fared.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says in one fingerprint what runs, and lists what makes this device differ from others of its release and configuration. With
    /// differences, 1 is the exit code.
    Attest {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Looks at the channel that this device follows, and says what it is offered. Nothing is installed.
    Check(CheckOptions),
    /// Looks after this device's updates: asks its channel, fetches what is offered, and restarts into it when it may. A timer runs it.
    Agent(AgentOptions),
    /// Lets the agent install what is offered: where it waits for somebody's word, or where somebody went back from that release.
    Approve(ApproveOptions),
    /// Writes a release to the slot that doesn't run, and has it tried at the next restart.
    Install(InstallOptions),
    /// Makes another disk of this machine a device of its own with the release that runs: a booted stick installs itself.
    InstallToDisk(ToDiskOptions),
    /// Looks at all health checks once.
    Health(HealthOptions),
    /// Makes what runs the default. The system does that by itself once all health checks hold.
    Commit,
    /// Goes back: takes back an armed trial, gives up a running one, or returns to the release in the other slot. The agent leaves what was gone
    /// back from alone until it is approved.
    Rollback {
        /// Restarts into it.
        #[arg(long)]
        reboot: bool,
    },
    /// Tells what became of releases on this device: a chain of events that nobody changes without being found out.
    History(HistoryOptions),
    /// Says in a signed document what this device is and how its last update went, and sends it to who looks after it.
    Report(ReportOptions),
    /// Looks after the data that is bound to the running release: Kubernetes' datastore and what else the recipe names.
    #[command(subcommand)]
    State(StateCommand),
    /// Says which Kubernetes cluster this device joins, for releases whose recipe has it join one.
    Join(JoinOptions),
    /// Keeps new pods away from this device's Kubernetes node, and has its pods go elsewhere, as far as disruption budgets allow.
    Drain {
        /// How long that may take; then 1 is the exit code. Without it, the recipe's limit counts, or five minutes.
        #[arg(long, value_name = "SECONDS")]
        limit: Option<u64>,
    },
    /// Lets pods come to this device's Kubernetes node again, where `drain` has kept them away.
    Uncordon,
    /// Waits until the system has started, then says on the console in one line how that went.
    #[command(hide = true)]
    BootReport,
    /// Makes the data partition reach the end of the disk.
    #[command(hide = true)]
    GrowData,
    /// Gives up a trial that can't be committed.
    #[command(hide = true)]
    TrialFailed,
    /// Gives up a trial that isn't committed when its deadline passes.
    #[command(hide = true)]
    TrialDeadline,
    /// Notes that the system goes down on purpose.
    #[command(hide = true)]
    ShuttingDown,
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
        let install = command(&[
            "outcrop-updater",
            "install",
            "a.outcrop",
            "--max-download",
            "5",
            "--reboot",
        ]);
        let Command::Install(options) = install else {
            panic!("{install:?}")
        };
        assert_eq!(
            (options.max_download, options.reboot, options.dry_run),
            (Some(5), true, false)
        );
    }
}
