//! The command line: arguments and dispatch. What the commands do is in [`crate::commands`].

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use miette::Diagnostic;
use outcrop_release::{arch::Architecture, name::ImageName};

use crate::{
    cache::Cache,
    commands::{self, Context},
    error::Error,
    failure::FailureClass,
    fetch::Mode,
    inspect::Wanted,
    pipeline::Request,
    run::machine::PortForward,
    terminal::{Abilities, Color, Verbosity, bars::Bars, report, signals},
};

/// Builds immutable, verified, reproducible edge operating-system images from a recipe
#[derive(Debug, Parser)]
#[command(
    name = "outcrop",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What all commands understand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
struct Global {
    /// Tell nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell about every phase
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    verbose: bool,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
    /// Keep downloads and the tree store in DIR [default: $XDG_CACHE_HOME/outcrop or ~/.cache/outcrop]
    #[arg(
        long,
        global = true,
        env = "OUTCROP_CACHE_DIR",
        hide_env_values = true,
        value_name = "DIR"
    )]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented recipe to start from
    New {
        /// Name of the image: the recipe becomes NAME.toml
        name: ImageName,
    },
    /// Resolve a recipe's packages into the lock file beside it
    ///
    /// Only this command decides versions; builds take them from the lock. Keep it under version control.
    Lock {
        /// The recipe
        recipe: PathBuf,
        #[command(flatten)]
        mirror: MirrorArgs,
    },
    /// Tell what changed between two releases
    ///
    /// Each is a disk image, a lock file, or an image in the tree store: image/NAME/ARCHITECTURE, with ^ for the build
    /// before.
    Diff {
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
    },
    /// Show what the cache holds and costs; free space
    ///
    /// Nothing in the cache is needed for good: it is fetched or made again. Packages count as used whenever a build or
    /// lock needs them.
    Cache {
        /// Remove what wasn't used for DAYS days: packages with their trees in the store, build records, apt's lists;
        /// and of each image all but the newest five trees
        #[arg(long)]
        prune: bool,
        /// With --prune: how long unused
        #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "prune")]
        unused: u32,
        /// With --prune: packages of this lock file stay, however long unused
        #[arg(long, value_name = "LOCK", requires = "prune")]
        keep: Vec<PathBuf>,
        /// Read all packages again; remove damaged ones
        #[arg(long)]
        verify: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Build images from a recipe and its lock
    ///
    /// Writes NAME-VERSION-ARCH-BOARD.img (sparse), its block map, its bill of materials and SHA256SUMS. Takes nothing
    /// but what the lock names; `outcrop lock` makes or renews it.
    Build(BuildArgs),
    /// Boot an image in QEMU on this terminal; Ctrl-A X ends it
    ///
    /// The image is never modified: what the machine writes is gone with it. The machine has UEFI firmware; KVM is used
    /// where it really works.
    Run(RunArgs),
    /// Tell what a disk image holds: release, root hash, partitions, slots, packages
    Inspect {
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
    },
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

/// Where packages come from.
#[derive(Debug, Args)]
struct MirrorArgs {
    /// Take packages from the Debian mirror at URL [default: $OUTCROP_MIRROR, or the machine's apt sources]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

#[derive(Debug, Args)]
struct BuildArgs {
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
    /// Folder of the device's static programs [default: device-programs beside this program]
    #[arg(
        long,
        value_name = "DIR",
        env = "OUTCROP_DEVICE_PROGRAMS",
        hide_env_values = true
    )]
    device_programs: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The image
    image: PathBuf,
    /// Lead a port of this machine's loopback interface into the guest: 2222:22; may repeat
    #[arg(long, value_name = "HOST:GUEST")]
    port: Vec<PortForward>,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// Processors
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// End the machine once it is healthy; fail when it isn't in time (for CI)
    #[arg(long)]
    until_healthy: bool,
    /// With --until-healthy: how long to wait
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        requires = "until_healthy"
    )]
    timeout: u64,
}

impl From<RunArgs> for commands::run::Options {
    fn from(arguments: RunArgs) -> Self {
        Self {
            image: arguments.image,
            ports: arguments.port,
            memory_mib: arguments.memory,
            cpus: arguments.cpus,
            until_healthy: arguments
                .until_healthy
                .then(|| Duration::from_secs(arguments.timeout)),
        }
    }
}

impl From<BuildArgs> for Request {
    fn from(arguments: BuildArgs) -> Self {
        Self {
            recipe: arguments.recipe,
            architectures: arguments.arch,
            output: arguments.output,
            mirror: arguments.mirror.mirror,
            mode: if arguments.offline {
                Mode::Offline
            } else {
                Mode::Online
            },
            device_programs: arguments.device_programs,
        }
    }
}

impl Command {
    /// Whether the command talks to a program.
    const fn json(&self) -> bool {
        match self {
            Self::Cache { json, .. } | Self::Diff { json, .. } | Self::Inspect { json, .. } => *json,
            Self::New { .. }
            | Self::Build(_)
            | Self::Run(_)
            | Self::Lock { .. }
            | Self::Completions { .. }
            | Self::Man { .. } => false,
        }
    }
}

impl Global {
    const fn verbosity(&self, json: bool) -> Verbosity {
        match (self.quiet || json, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }
}

/// Runs the command of this process's arguments, and reports its error.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.command.json();
    let abilities = Abilities::of_stderr(cli.global.color);
    let asked_to_stop = match signals::watch() {
        Ok(flag) => flag,
        Err(source) => return fail(&Error::Signals(source), abilities, json),
    };
    let verbosity = cli.global.verbosity(json);
    let cache = match cli.global.cache_dir {
        Some(folder) => Some(Cache::at(&folder)),
        None => Cache::of_user(|name| std::env::var_os(name)),
    };
    let bars = Bars::new(verbosity, abilities, std::sync::Arc::clone(&asked_to_stop));
    let context = Context::new(Box::new(bars), verbosity, cache, Box::new(std::io::stdout()));
    match run(cli.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        // Whatever fails after Ctrl-C, a tool that heard it too for one, fails because of it.
        Err(_) if asked_to_stop.load(std::sync::atomic::Ordering::Relaxed) => {
            fail(&Error::Cancelled(crate::progress::Cancelled), abilities, json)
        }
        Err(error) => fail(&error, abilities, json),
    }
}

fn run(command: Command, context: &Context) -> Result<(), Error> {
    match command {
        Command::New { name } => {
            let options = commands::new::Options {
                name,
                folder: PathBuf::new(),
            };
            commands::new::run(&options, context)
        }
        Command::Lock { recipe, mirror } => {
            let options = commands::lock::Options {
                recipe,
                mirror: mirror.mirror,
                mirror_variable: std::env::var_os("OUTCROP_MIRROR"),
            };
            commands::lock::run(&options, context)
        }
        Command::Inspect {
            image,
            files,
            digests,
            json,
        } => {
            let wanted = Wanted {
                files: files || digests,
                digests,
            };
            commands::inspect::run(&commands::inspect::Options { image, wanted, json }, context)
        }
        Command::Diff {
            old,
            new,
            files,
            json,
        } => {
            let options = commands::diff::Options {
                old,
                new,
                files,
                json,
            };
            commands::diff::run(&options, context)
        }
        Command::Cache {
            prune,
            unused,
            keep,
            verify,
            json,
        } => {
            let options = commands::cache::Options {
                prune,
                unused_days: unused,
                keep,
                verify,
                json,
            };
            commands::cache::run(&options, context)
        }
        Command::Run(arguments) => commands::run::run(&arguments.into(), context),
        Command::Build(arguments) => commands::build::run(&arguments.into(), context),
        Command::Completions { shell } => commands::completions::run(shell, Cli::command(), context),
        Command::Man { dir } => commands::man::run(&dir, Cli::command(), context),
    }
}

fn fail(error: &Error, abilities: Abilities, json: bool) -> ExitCode {
    use std::io::Write as _;
    let class: FailureClass = error.class();
    let diagnostic: &dyn Diagnostic = error;
    let text = if json {
        report::json(diagnostic, class) + "\n"
    } else {
        report::text(diagnostic, abilities)
    };
    // There is nobody left to tell when this fails.
    let _told = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(class.exit_code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing;

    fn subcommands() -> Vec<String> {
        let command = Cli::command();
        command
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect()
    }

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_texts() {
        for name in std::iter::once(None).chain(subcommands().iter().map(|name| Some(name.as_str()))) {
            let arguments = ["outcrop"].into_iter().chain(name).chain(["--help"]);
            let help = Cli::command()
                .term_width(100)
                .try_get_matches_from(arguments)
                .unwrap_err();
            insta::assert_snapshot!(format!("help_{}", name.unwrap_or("outcrop")), help.to_string());
        }
    }

    #[test]
    fn completions_and_manual_pages_know_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let (context, written) = testing::context();
            commands::completions::run(shell, Cli::command(), &context).unwrap();
            assert!(
                subcommands()
                    .iter()
                    .all(|name| written.text().contains(name.as_str())),
                "{shell}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        commands::man::run(&folder.path().join("man1"), Cli::command(), &testing::context().0).unwrap();
        for name in subcommands() {
            let page = std::fs::read_to_string(folder.path().join(format!("man1/outcrop-{name}.1"))).unwrap();
            assert!(
                page.contains(&format!("outcrop\\-{name}")) || page.contains(&format!("outcrop-{name}")),
                "{page}"
            );
        }
        assert!(folder.path().join("man1/outcrop.1").exists());
    }
}
