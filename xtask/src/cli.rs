//! Arguments and dispatch.

use clap::{Parser, Subcommand};

use crate::{
    bench, demo, device,
    error::Error,
    fuzz,
    host::Arch,
    kubernetes,
    lint::{self, Advisories},
    packages::{self, Install, Needs},
    soak, test,
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
    /// Install what is missing, build three releases for x86_64, show a good update and one that fails
    Demo {
        /// With a real Kubernetes in them, which is compiled first unless it is in the cache
        #[arg(long)]
        kubernetes: bool,
    },
    /// Install what is missing; run the lints, the fuzz targets for a moment, and every test
    Test {
        /// Run only the tests whose name contains one of these
        filter: Vec<String>,
        /// Run the scenarios with a real Kubernetes instead, which is compiled first unless it is in the cache
        #[arg(long)]
        kubernetes: bool,
    },
    /// Measure, against peers where there are any
    Bench {
        /// What to measure
        #[arg(value_enum)]
        what: Bench,
        /// With `build`: measure this architecture alone
        #[arg(long)]
        arch: Option<Arch>,
        /// With `delta`: measure this pair of releases alone
        #[arg(long)]
        pair: Option<bench::delta::Pair>,
        /// With `delta`: measure this peer alone; may repeat
        #[arg(long)]
        peer: Vec<bench::delta::Peer>,
        /// With `delta`: lock today's Debian and measure every peer anew, whatever earlier runs found
        #[arg(long)]
        anew: bool,
    },
    /// Check form, lints, licences, duplicates and sources
    Lint {
        /// Check for known vulnerabilities too; needs the internet
        #[arg(long)]
        advisories: bool,
    },
    /// Run the fuzz targets
    Fuzz {
        /// Only the targets whose name contains this
        target: Option<String>,
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Hours of fuzzing, scenarios again and again, and today's Debian: what is too long for every change
    Soak {
        /// Minutes of fuzzing for each target
        #[arg(long, default_value_t = 10)]
        minutes: u32,
        /// How often every scenario is run
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// Build the static programs of the device for both architectures
    Device,
    /// Build the Kubernetes that the tests run, for both architectures, into the cache: ten minutes, once
    Kubernetes,
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
    /// Installing a release, against `dd`
    Update,
    /// Flashing an image, against `dd` and `bmaptool`
    Flash,
    /// What the reports of 100,000 devices say together
    Fleet,
    /// What updates between real releases cost a device, against xdelta3, zstd, bsdiff, casync and RAUC
    Delta,
    /// What the state that goes with a release costs, against `cp`; a node's start; memory
    Kubernetes,
}

impl Bench {
    fn run(self, install: Install, arch: Option<Arch>, delta: &bench::delta::Options) -> Result<(), Error> {
        match self {
            Self::Build => bench::build::run(install, arch),
            Self::Boot => bench::boot::run(install),
            Self::Update => bench::update::run(install),
            Self::Flash => bench::flash::run(install),
            Self::Fleet => bench::fleet::run(install),
            Self::Delta => bench::delta::run(install, delta),
            Self::Kubernetes => bench::kubernetes::run(install),
        }
    }
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
        Task::Demo { kubernetes: false } => demo::run(install),
        Task::Demo { kubernetes: true } => demo::with_kubernetes(install),
        Task::Test {
            filter,
            kubernetes: true,
        } => test::with_kubernetes(install, &filter),
        Task::Test { filter, .. } => test::run(install, &filter),
        Task::Bench {
            what,
            arch,
            pair,
            peer: peers,
            anew,
        } => what.run(install, arch, &bench::delta::Options { pair, peers, anew }),
        Task::Lint { advisories } => {
            let advisories = if advisories {
                Advisories::Check
            } else {
                Advisories::Skip
            };
            lint::run(install, advisories)
        }
        Task::Fuzz { target, seconds } => {
            fuzz::run(install, target.as_deref(), fuzz::Length::Seconds(seconds))
        }
        Task::Soak { minutes, rounds } => soak::run(install, minutes, rounds),
        Task::Device => packages::ensure(Needs::Device, install).and_then(|()| device::build(install)),
        Task::Kubernetes => {
            let folder = kubernetes::build(install, &Arch::ALL)?;
            eprintln!("{}", folder.display());
            Ok(())
        }
        Task::Setup => packages::ensure(Needs::Test, install),
    }
}
