//! Arguments and dispatch.

use clap::{Parser, Subcommand};

use crate::{
    demo, device,
    error::Error,
    packages::{self, Install, Needs},
    test,
};

/// Outcrop's developer tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    /// Print the command that installs missing system packages instead of running it
    #[arg(long, global = true)]
    no_install: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what is missing, build the default image for x86_64, boot it, show it healthy
    Demo,
    /// Install what is missing and run every test
    Test {
        /// Run only the tests whose name contains one of these
        filter: Vec<String>,
    },
    /// Build the static programs of the device for both architectures
    Device,
    /// Install the system packages that building, booting and testing need
    Setup,
}

/// Parses the arguments and runs the task.
pub(crate) fn run() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let install = if arguments.no_install {
        Install::Never
    } else {
        Install::Missing
    };
    match arguments.task {
        Task::Demo => demo::run(install),
        Task::Test { filter } => test::run(install, &filter),
        Task::Device => device::build(install),
        Task::Setup => packages::ensure(Needs::Test, install),
    }
}
