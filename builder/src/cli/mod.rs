//! The command line: arguments and dispatch. What the commands do is in [`crate::commands`].

mod arguments;
mod bundle;
mod fleet;
mod keys;
mod publish;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
};

use clap::{ArgAction, Args, CommandFactory as _, Parser};
use miette::Diagnostic;

use self::{
    arguments::{Command, DeviceCommand},
    bundle::BundleCommand,
    fleet::FleetCommand,
    keys::KeysCommand,
};
use crate::{
    cache::Cache,
    commands::{self, Context},
    error::Error,
    failure::FailureClass,
    progress::Cancelled,
    terminal::{Abilities, Color, Verbosity, ask, bars::Bars, report, signals},
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
    let bars = Bars::new(verbosity, abilities, Arc::clone(&asked_to_stop));
    let person = (verbosity != Verbosity::Quiet)
        .then(|| ask::person(Arc::clone(&asked_to_stop)))
        .flatten();
    let context = Context::new(Box::new(bars), verbosity, cache, Box::new(std::io::stdout()));
    let context = context
        .with_person(person)
        .with_secrets(ask::secrets(Arc::clone(&asked_to_stop)));
    match run(cli.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        // Whatever fails after Ctrl-C, a tool that heard it too for one, fails because of it.
        Err(_) if asked_to_stop.load(Ordering::Relaxed) => {
            fail(&Error::Cancelled(Cancelled), abilities, json)
        }
        Err(error) => fail(&error, abilities, json),
    }
}

fn run(command: Command, context: &Context) -> Result<(), Error> {
    match command {
        Command::New { name } => {
            let folder = PathBuf::new();
            commands::new::run(&commands::new::Options { name, folder }, context)
        }
        Command::Lock(arguments) => commands::lock::run(&arguments.into(), context),
        Command::Build(arguments) => commands::build::run(&arguments.into(), context),
        Command::Inspect(arguments) => commands::inspect::run(&arguments.into(), context),
        Command::Diff(arguments) => commands::diff::run(&arguments.into(), context),
        Command::Run(arguments) => commands::run::run(&arguments.into(), context),
        Command::Flash(arguments) => commands::flash::run(&arguments.into(), context),
        Command::Device(DeviceCommand::New { file }) => commands::device::new(&file, context),
        Command::Device(DeviceCommand::Check { file }) => commands::device::check(&file, context),
        Command::Bundle(BundleCommand::Inspect(arguments)) => {
            commands::bundle::inspect(&arguments.into(), context)
        }
        Command::Bundle(BundleCommand::Verify(arguments)) => {
            commands::bundle::verify(&arguments.into(), context)
        }
        Command::Bundle(BundleCommand::Cost(arguments)) => commands::bundle::cost(&arguments.into(), context),
        Command::Bundle(BundleCommand::Sign(arguments)) => commands::bundle::sign(&arguments.into(), context),
        Command::Bundle(BundleCommand::Delta(arguments)) => {
            commands::bundle_delta::run(&arguments.into(), context)
        }
        Command::Publish(arguments) => commands::publish::run(&arguments.into(), context),
        Command::Channel(command) => commands::channel::run(&command.into_request(), context),
        Command::Fleet(FleetCommand::Report(arguments)) => {
            commands::fleet::report(&arguments.into(), context)
        }
        Command::Keys(KeysCommand::Generate(arguments)) => {
            commands::keys::generate(&arguments.into(), context)
        }
        Command::Keys(KeysCommand::SecureBoot(arguments)) => {
            commands::secure_boot_keys::run(&arguments.into(), context)
        }
        Command::Keys(KeysCommand::Trust(arguments)) => commands::keys::trust(&arguments.into(), context),
        Command::Cache(arguments) => commands::cache::run(&arguments.into(), context),
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
    use clap_complete::Shell;

    use super::*;
    use crate::commands::testing;

    /// The words after `outcrop` of every command, also of those below others.
    fn subcommands() -> Vec<Vec<String>> {
        fn below(command: &clap::Command, words: &[String]) -> Vec<Vec<String>> {
            let own = |command: &clap::Command| {
                let words = [words, &[command.get_name().to_owned()]].concat();
                [vec![words.clone()], below(command, &words)].concat()
            };
            command.get_subcommands().flat_map(own).collect()
        }
        below(&Cli::command(), &[])
    }

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_texts() {
        for words in std::iter::once(Vec::new()).chain(subcommands()) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let arguments = [&["outcrop"], &words[..], &["--help"]].concat();
            let name = if words.is_empty() {
                "outcrop".to_owned()
            } else {
                words.join("_")
            };
            let help = Cli::command()
                .term_width(100)
                .try_get_matches_from(arguments)
                .unwrap_err();
            insta::assert_snapshot!(format!("help_{name}"), help.to_string());
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
                    .flatten()
                    .all(|name| written.text().contains(name.as_str())),
                "{shell}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        commands::man::run(&folder.path().join("man1"), Cli::command(), &testing::context().0).unwrap();
        for words in subcommands() {
            let name = words.join("-");
            let page = std::fs::read_to_string(folder.path().join(format!("man1/outcrop-{name}.1"))).unwrap();
            let title = format!("outcrop-{name}");
            assert!(
                page.contains(&title.replace('-', "\\-")) || page.contains(&title),
                "{page}"
            );
        }
        assert!(folder.path().join("man1/outcrop.1").exists());
    }
}
