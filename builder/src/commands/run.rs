//! `outcrop run`: boots an image in QEMU, on this terminal or until it is healthy.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use outcrop_release::arch::Architecture;

use super::Context;
use crate::{
    disk::read::{DiskImage, DiskReadError},
    error::Error,
    failure::FailureClass,
    run::{
        RunError,
        accel::Accelerator,
        firmware::Firmware,
        machine::{DiskBackend, Machine, PortForward},
        overlay,
    },
};

/// What the boot report prints on the console when everything came up.
const HEALTHY: &str = "outcrop: healthy: ";
/// What it prints when something didn't.
const DEGRADED: &str = "outcrop: degraded: ";

/// `outcrop run`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// The image; never written to.
    pub image: PathBuf,
    /// Ports of the loopback interface that lead into the guest.
    pub ports: Vec<PortForward>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// Ends the machine once it is healthy, and fails when it isn't within this time.
    pub until_healthy: Option<Duration>,
}

/// Why `outcrop run` failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RunFailure {
    /// QEMU or a file of the machine.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// The image isn't one.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] DiskReadError),
    /// The guest came up, but not whole.
    #[error("the machine came up degraded: {0}")]
    #[diagnostic(help("the console above says what failed"))]
    Degraded(String),
    /// The guest said nothing about its health in time, or ended before.
    #[error("the machine wasn't healthy {}", after.map_or_else(|| "when QEMU ended".to_owned(), |time| format!("after {} s", time.as_secs())))]
    #[diagnostic(help("the console above says how far it came; a slow machine may need a longer --timeout"))]
    NotHealthy {
        /// How long was waited; none when QEMU ended by itself.
        after: Option<Duration>,
    },
}

impl RunFailure {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Run(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Degraded(_) | Self::NotHealthy { .. } => FailureClass::Other,
        }
    }
}

/// Boots the image, and prints the line that says it is healthy when that was asked for.
///
/// # Errors
/// When QEMU can't be started or fails, or the machine doesn't become healthy.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    match boot(options)? {
        Some(line) => context.summarize(format!("healthy: {line}\n")),
        None => Ok(()),
    }
}

/// Boots the image. Returns the line that says it is healthy, when that was asked for.
///
/// # Errors
/// When QEMU can't be started or fails, or the machine doesn't become healthy.
fn boot(options: &Options) -> Result<Option<String>, RunFailure> {
    let architecture = DiskImage::open(&options.image)?.architecture();
    let folder = tempfile::tempdir().map_err(|source| RunError::Prepare {
        path: std::env::temp_dir(),
        source,
    })?;
    let machine = machine(options, architecture, folder.path())?;
    let mut command = Command::new(machine.program());
    command.args(machine.arguments()).args(["-display", "none"]);
    match options.until_healthy {
        None => interactive(&mut command, &machine).map(|()| None),
        Some(limit) => watch(&mut command, &machine, limit).map(Some),
    }
}

fn machine(options: &Options, architecture: Architecture, folder: &Path) -> Result<Machine, RunFailure> {
    let firmware = Firmware::find(architecture)?;
    let (variables, disk) = (folder.join("variables"), folder.join("disk.qcow2"));
    overlay::copy_variables(&firmware, &variables)?;
    overlay::create(&options.image, &disk)?;
    let mut machine = Machine::new(architecture, &firmware, &variables, DiskBackend::Qcow2(disk));
    machine.accelerator = Accelerator::probe(architecture);
    machine.memory_mib = options.memory_mib;
    machine.cpus = options.cpus;
    machine.ports.clone_from(&options.ports);
    Ok(machine)
}

/// The guest's serial console is this terminal; Ctrl-A X ends it.
fn interactive(command: &mut Command, machine: &Machine) -> Result<(), RunFailure> {
    command.args(["-serial", "mon:stdio"]);
    let status = command.status().map_err(start_error(machine))?;
    if status.success() {
        Ok(())
    } else {
        Err(RunError::Failed { status }.into())
    }
}

/// Shows the console on standard error until the boot report speaks.
fn watch(command: &mut Command, machine: &Machine, limit: Duration) -> Result<String, RunFailure> {
    command
        .args(["-serial", "stdio", "-monitor", "none", "-no-reboot"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().map_err(start_error(machine))?;
    let verdict = verdict(&mut child, limit);
    // Ends our own child; it fails only when QEMU has ended already.
    let _ = child.kill();
    let _ = child.wait();
    verdict
}

fn verdict(child: &mut Child, limit: Duration) -> Result<String, RunFailure> {
    let (sender, lines) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).trim_end().to_owned())
                    .is_err()
                {
                    break;
                }
            }
        });
    }
    let deadline = Instant::now() + limit;
    loop {
        let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(RunFailure::NotHealthy { after: Some(limit) });
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(RunFailure::NotHealthy { after: None }),
        };
        // The console is a courtesy: a closed standard error must not end the watch.
        let _ = writeln!(std::io::stderr(), "{line}");
        if let Some((_, what)) = line.split_once(HEALTHY) {
            return Ok(what.to_owned());
        }
        if let Some((_, what)) = line.split_once(DEGRADED) {
            return Err(RunFailure::Degraded(what.to_owned()));
        }
    }
}

fn start_error(machine: &Machine) -> impl FnOnce(std::io::Error) -> RunFailure {
    let (program, package) = (machine.program(), Machine::package(machine.architecture));
    move |source| {
        RunError::Start {
            program,
            package,
            source,
        }
        .into()
    }
}
