//! The commands' arguments, and the options that they stand for.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, value_parser};
use clap_complete::Shell;
use outcrop_release::{arch::Architecture, name::ImageName};

use super::{
    bundle::BundleCommand,
    fleet::FleetCommand,
    keys::KeysCommand,
    publish::{ChannelCommand, PublishArgs},
};
use crate::{
    bundle::Compression,
    commands,
    fetch::Mode,
    inspect::Wanted,
    keys::KeySource,
    lock::apt::Suites,
    pipeline::Request,
    run::{firmware::FirmwareKind, machine::PortForward},
};

/// What to do. The order is that of the help text.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a commented recipe to start from
    New {
        /// Name of the image: the recipe becomes NAME.toml
        name: ImageName,
    },
    /// Resolve a recipe's packages into the lock file beside it
    ///
    /// Only this command decides versions; builds take them from the lock. Keep it under version control.
    Lock(LockArgs),
    /// Build images from a recipe and its lock
    ///
    /// Writes NAME-VERSION-ARCH-BOARD.img (sparse), its block map, its bill of materials and SHA256SUMS. Takes nothing
    /// but what the lock names, and refuses a lock that is missing or made for another recipe: `outcrop lock` makes it.
    Build(BuildArgs),
    /// Tell what a disk image holds: release, root hash, partitions, slots, packages
    Inspect(InspectArgs),
    /// Tell what changed between two releases
    ///
    /// Each is a disk image, a lock file, or an image in the tree store: image/NAME/ARCHITECTURE, with ^ for the build
    /// before.
    Diff(DiffArgs),
    /// Boot an image in QEMU on this terminal; Ctrl-A X ends it
    ///
    /// The image is never modified: what the machine writes is gone with it. The machine has UEFI firmware; KVM is used
    /// where it really works.
    Run(RunArgs),
    /// Write an image to a card or disk, which becomes this one device's
    ///
    /// Only what the image's block map names is written; the card gets random names for itself and its partitions, and its data partition
    /// reaches its end. What is half-flashed never looks bootable.
    Flash(FlashArgs),
    /// Write and check the configuration that makes a device itself
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Tell what a bundle holds, check it, sign it
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Put bundles where devices fetch them, and offer them in a channel
    ///
    /// DIR becomes a folder of static files for any web server or object store (`outcrop channel copy` puts it on a stick). A channel is a signed list of what is offered,
    /// each release to a share of the devices first.
    Publish(PublishArgs),
    /// Change what a channel offers, and tell it
    ///
    /// RELEASE is a version, or NAME-VERSION-ARCH-BOARD where several releases have that version. Each change makes a new signed list.
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// Tell what the reports of many devices say together
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Make keys that sign releases, and the trust file that names them
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show what the cache holds and costs; free space
    ///
    /// Nothing in the cache is needed for good: it is fetched or made again. Packages count as used whenever a build or
    /// lock needs them.
    Cache(CacheArgs),
    /// Print a shell's completions
    ///
    /// For bash: outcrop completions bash > ~/.local/share/bash-completion/completions/outcrop
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual pages
    Man {
        /// Folder that they go to
        dir: PathBuf,
    },
}

impl Command {
    /// Whether the command talks to a program.
    pub(super) const fn json(&self) -> bool {
        match self {
            Self::Build(arguments) => arguments.json,
            Self::Cache(arguments) => arguments.json,
            Self::Diff(arguments) => arguments.json,
            Self::Flash(arguments) => arguments.json,
            Self::Inspect(arguments) => arguments.json,
            Self::Bundle(BundleCommand::Inspect(arguments)) => arguments.json,
            Self::Bundle(BundleCommand::Delta(arguments)) => arguments.json,
            Self::Bundle(BundleCommand::Cost(arguments)) => arguments.json,
            Self::Fleet(FleetCommand::Report(arguments)) => arguments.json,
            Self::Publish(arguments) => arguments.json,
            Self::Channel(command) => command.json(),
            Self::New { .. }
            | Self::Lock(_)
            | Self::Run(_)
            | Self::Keys(_)
            | Self::Device(_)
            | Self::Bundle(_)
            | Self::Completions { .. }
            | Self::Man { .. } => false,
        }
    }
}

/// What to do with a device's configuration.
#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Write a commented device.toml in which nothing is set yet
    ///
    /// `outcrop flash --device FILE` puts it onto a card; after flashing, it is also the file device.toml on the card's first partition.
    New {
        /// The file to write
        #[arg(default_value = "device.toml")]
        file: PathBuf,
    },
    /// Check a device.toml as the device does, and tell all mistakes with line and column
    Check {
        /// The file
        #[arg(default_value = "device.toml")]
        file: PathBuf,
    },
}

/// Where packages come from.
#[derive(Debug, Args)]
struct MirrorArgs {
    /// Take packages from the Debian mirror at URL [default: $OUTCROP_MIRROR, or the machine's apt sources]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// The recipe
    recipe: PathBuf,
    /// Lock the last point release alone, without -updates and -security: to measure an update, not for devices
    #[arg(long)]
    point_release: bool,
    #[command(flatten)]
    mirror: MirrorArgs,
}

impl From<LockArgs> for commands::lock::Options {
    fn from(arguments: LockArgs) -> Self {
        Self {
            recipe: arguments.recipe,
            suites: if arguments.point_release {
                Suites::PointRelease
            } else {
                Suites::Current
            },
            mirror: arguments.mirror.mirror,
            mirror_variable: std::env::var_os("OUTCROP_MIRROR"),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The recipe
    recipe: PathBuf,
    /// Build for this architecture only; may repeat [default: all of the recipe's]
    #[arg(long, value_name = "ARCH")]
    arch: Vec<Architecture>,
    /// Folder that the files go to
    #[arg(long, value_name = "DIR", default_value = "out")]
    output: PathBuf,
    #[command(flatten)]
    mirror: MirrorArgs,
    /// Take packages from the cache only
    #[arg(long, conflicts_with = "mirror")]
    offline: bool,
    /// Never offer to make or renew the lock; without it, a person at the terminal is asked
    #[arg(long)]
    locked: bool,
    /// Folder of the device's static programs [default: device-programs beside this program]
    #[arg(
        long,
        value_name = "DIR",
        env = "OUTCROP_DEVICE_PROGRAMS",
        hide_env_values = true
    )]
    device_programs: Option<PathBuf>,
    /// Leave files where OLD has them, so that devices rewrite less; may repeat, once for each architecture. OLD is the
    /// release before: a bundle, an image, or an image in the tree store (image/NAME/ARCHITECTURE)
    #[arg(long, value_name = "OLD")]
    previous: Vec<String>,
    /// Compress bundles quickly instead of well: for releases that go nowhere
    #[arg(long)]
    fast_bundle: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: KeyArgs,
    /// Sign boot loader and boot payload for Secure Boot with the private key of the recipe's `secure-boot.certificate`. KEY as for --key
    #[arg(long, value_name = "KEY")]
    secure_boot_key: Option<KeySource>,
}

/// Which private keys sign.
#[derive(Debug, Args)]
struct KeyArgs {
    /// Sign with this private key, and make a bundle for updates; may repeat. KEY is a file, env:VARIABLE, or
    /// command:COMMAND, which prints it
    #[arg(long, value_name = "KEY")]
    key: Vec<KeySource>,
}

impl From<BuildArgs> for commands::build::Options {
    fn from(arguments: BuildArgs) -> Self {
        let mode = if arguments.offline {
            Mode::Offline
        } else {
            Mode::Online
        };
        let request = Request {
            recipe: arguments.recipe,
            architectures: arguments.arch,
            output: arguments.output,
            mirror: arguments.mirror.mirror,
            mode,
            device_programs: arguments.device_programs,
            previous: arguments.previous,
            compression: if arguments.fast_bundle {
                Compression::Fast
            } else {
                Compression::Best
            },
        };
        Self {
            request,
            json: arguments.json,
            locked: arguments.locked,
            keys: arguments.keys.key,
            secure_boot_key: arguments.secure_boot_key,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The image
    image: PathBuf,
    /// Tell every file of the root file system, too
    #[arg(long)]
    files: bool,
    /// Tell every file with its SHA-256
    #[arg(long)]
    digests: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl From<InspectArgs> for commands::inspect::Options {
    fn from(arguments: InspectArgs) -> Self {
        let wanted = Wanted {
            files: arguments.files || arguments.digests,
            digests: arguments.digests,
        };
        Self {
            image: arguments.image,
            wanted,
            json: arguments.json,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The older release
    old: String,
    /// The newer release
    new: String,
    /// Tell every path that differs
    #[arg(long)]
    files: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl From<DiffArgs> for commands::diff::Options {
    fn from(arguments: DiffArgs) -> Self {
        Self {
            old: arguments.old,
            new: arguments.new,
            files: arguments.files,
            json: arguments.json,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The disk image
    image: PathBuf,
    /// Forward port HOST of this machine's loopback interface to port GUEST; may repeat
    #[arg(long, value_name = "HOST:GUEST")]
    port: Vec<PortForward>,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = value_parser!(u32).range(256..))]
    memory: u32,
    /// Processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u32).range(1..))]
    cpus: u32,
    /// Boot it only if this trust file trusts its signatures. An image with a manifest beside it is compared with that anyway
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// With a firmware that has Secure Boot and no keys yet: an image that brings its owner's enrols them first. Only for x86_64
    #[arg(long)]
    secure_boot: bool,
    /// Show the console until the machine says that it is healthy, then end it; fail when it isn't
    #[arg(long)]
    until_healthy: bool,
    /// With --until-healthy: how long to wait
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        requires = "until_healthy"
    )]
    timeout: u32,
}

impl From<RunArgs> for commands::run::Options {
    fn from(arguments: RunArgs) -> Self {
        let limit = Duration::from_secs(arguments.timeout.into());
        Self {
            image: arguments.image,
            ports: arguments.port,
            memory_mib: arguments.memory,
            cpus: arguments.cpus,
            firmware: if arguments.secure_boot {
                FirmwareKind::SecureBoot
            } else {
                FirmwareKind::Open
            },
            trust: arguments.trust,
            until_healthy: arguments.until_healthy.then_some(limit),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct FlashArgs {
    /// The image: a file, an http(s) address, or - for standard input; .img, or .img.zst
    image: String,
    /// The disk, or a plain file; left out, the disks that can be taken out are listed
    device: Option<PathBuf>,
    /// The device's own configuration for partition 1: see `outcrop device new`
    #[arg(long = "device", value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// Flash it only if this trust file trusts its signatures
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Flash it whoever made it. What lies beside it is compared anyway
    #[arg(long, conflicts_with = "trust")]
    unsigned: bool,
    /// Read everything back afterwards
    #[arg(long)]
    verify: bool,
    /// Don't ask before everything on the disk is erased
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl From<FlashArgs> for commands::flash::Options {
    fn from(arguments: FlashArgs) -> Self {
        Self {
            image: arguments.image,
            device: arguments.device,
            configuration: arguments.configuration,
            trust: arguments.trust,
            unsigned: arguments.unsigned,
            verify: arguments.verify,
            yes: arguments.yes,
            json: arguments.json,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    /// Remove what wasn't used for DAYS days: packages with their trees in the store, build records, apt's lists; and
    /// of each image all but the newest five trees
    #[arg(long)]
    prune: bool,
    /// With --prune: how long unused
    #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "prune")]
    unused: u32,
    /// With --prune: packages of this lock file stay, however long unused
    #[arg(long, value_name = "LOCK", requires = "prune")]
    keep: Vec<PathBuf>,
    /// Read all packages and the tree store again; remove what is damaged
    #[arg(long)]
    verify: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl From<CacheArgs> for commands::cache::Options {
    fn from(arguments: CacheArgs) -> Self {
        Self {
            prune: arguments.prune,
            unused_days: arguments.unused,
            keep: arguments.keep,
            verify: arguments.verify,
            json: arguments.json,
        }
    }
}
