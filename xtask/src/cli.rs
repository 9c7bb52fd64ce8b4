//! Arguments and dispatch.

use clap::{Parser, Subcommand};

use crate::{
    bench, demo, device,
    error::Error,
    lint,
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
    /// Measure, against peers where there are any
    Bench {
        /// What to measure
        #[arg(value_enum)]
        what: Bench,
    },
    /// Check form, lints, licences, duplicates and sources
    Lint {
        /// Check for known vulnerabilities too; needs the internet
        #[arg(long)]
        advisories: bool,
    },
    /// Build the static programs of the device for both architectures
    Device,
    /// Install the system packages that building, booting and testing need
    Setup,
}

/// A bench.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Bench {
    /// Image builds, against mmdebstrap, mkfs.erofs and veritysetup
    Build,
    /// Kernel start to healthy
    Boot,
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
        Task::Bench { what: Bench::Build } => bench::build::run(install),
        Task::Bench { what: Bench::Boot } => bench::boot::run(install),
        Task::Lint { advisories } => lint::run(advisories),
        Task::Device => packages::ensure(Needs::Build, install).and_then(|()| device::build(install)),
        Task::Setup => packages::ensure(Needs::Test, install),
    }
}
