//! `outcrop run`: boots an image in QEMU, on this terminal or until it is healthy.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use miette::Diagnostic;
use outcrop_release::{arch::Architecture, board::Board};

use super::Context;
use crate::{
    disk::read::{DiskImage, DiskReadError},
    error::Error,
    failure::FailureClass,
    keys::read_trust,
    run::{
        RunError,
        accel::Accelerator,
        board_files::BoardFiles,
        firmware::{Firmware, FirmwareKind},
        machine::{DiskBackend, Machine, PortForward},
        overlay,
        watch::{Verdict, watch},
    },
    signed_image::{self, Checked},
};

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
    /// What the firmware checks.
    pub firmware: FirmwareKind,
    /// Whose images are booted; none asks for no signature.
    pub trust: Option<PathBuf>,
    /// Ends the machine once it is healthy, and fails when it isn't within this time.
    pub until_healthy: Option<Duration>,
}

/// Why a machine isn't what it should be.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RunFailure {
    /// QEMU, or a file of the machine.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Machine(#[from] RunError),
    /// The image isn't one.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] DiskReadError),
    /// The guest came up, but not whole.
    #[error("the machine came up degraded: {0}")]
    #[diagnostic(help("the console above says what failed"))]
    Degraded(String),
    /// The guest said nothing about its health in time.
    #[error("the machine wasn't healthy after {} s", .0.as_secs())]
    #[diagnostic(help("the console above says how far it came; a slow machine may need a longer --timeout"))]
    TimeOut(Duration),
    /// The guest ended before it was healthy.
    #[error("the machine ended before it was healthy")]
    #[diagnostic(help("the console above says how far it came"))]
    Ended,
}

impl RunFailure {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Machine(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Degraded(_) | Self::TimeOut(_) | Self::Ended => FailureClass::Other,
        }
    }
}

/// Boots the image. What the guest writes goes to a file that is gone afterwards.
///
/// # Errors
/// When QEMU can't be started or fails, or the machine doesn't become healthy.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let trust = options.trust.as_deref().map(read_trust).transpose()?;
    let image = DiskImage::open(&options.image).map_err(RunFailure::from)?;
    if let Checked::Signed { release, signers } =
        signed_image::check(&options.image, trust.as_ref(), context.progress.as_ref())?
    {
        let line = format!("{release}, signed by {}", signers.join(", "));
        context.progress.note(&line);
    }
    let folder = tempfile::tempdir().map_err(|source| {
        RunFailure::from(RunError::Prepare {
            path: std::env::temp_dir(),
            source,
        })
    })?;
    let machine = match image.board() {
        Board::Efi => machine(options, image.architecture(), folder.path()),
        Board::Rpi => raspberry_pi(options, &image, folder.path()),
    };
    let machine = machine.map_err(RunFailure::from)?;
    let mut command = Command::new(machine.program());
    command.args(machine.arguments()).args(["-display", "none"]);
    match options.until_healthy {
        None => Ok(interactive(&mut command, &machine, context)?),
        Some(limit) => until_healthy(&mut command, &machine, limit, context),
    }
}

fn machine(options: &Options, architecture: Architecture, folder: &Path) -> Result<Machine, RunError> {
    let firmware = Firmware::find_kind(architecture, options.firmware)?;
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

/// QEMU's Raspberry Pi: one board with its memory and processors, which the options don't change.
fn raspberry_pi(options: &Options, image: &DiskImage, folder: &Path) -> Result<Machine, RunError> {
    if options.firmware == FirmwareKind::SecureBoot {
        return Err(RunError::NoSecureBoot);
    }
    let files = BoardFiles::take(image, folder)?;
    let card = folder.join("card.qcow2");
    overlay::create_card(&options.image, image.len(), &card)?;
    let mut machine = Machine::raspberry_pi(&files, DiskBackend::Qcow2(card));
    machine.ports.clone_from(&options.ports);
    Ok(machine)
}

/// The guest's serial console is this terminal.
fn interactive(command: &mut Command, machine: &Machine, context: &Context) -> Result<(), RunFailure> {
    context
        .progress
        .note("Ctrl-A X ends the machine; nothing that it writes is kept.");
    command.args(["-serial", "mon:stdio"]);
    let status = command.status().map_err(|source| start_error(machine, source))?;
    if status.success() {
        Ok(())
    } else {
        Err(RunError::Failed { status }.into())
    }
}

fn until_healthy(
    command: &mut Command,
    machine: &Machine,
    limit: Duration,
    context: &Context,
) -> Result<(), Error> {
    command.args(["-serial", "stdio", "-monitor", "none", "-no-reboot"]);
    // The console is a courtesy: a closed standard error must not end the watch.
    let mut tell = |line: &str| drop(writeln!(io::stderr(), "{line}"));
    let verdict = watch(command, limit, context.progress.as_ref(), &mut tell);
    context.progress.checkpoint()?;
    match verdict.map_err(|source| start_error(machine, source))? {
        Verdict::Healthy(words) => context.print(format_args!("healthy: {words}\n")),
        Verdict::Degraded(words) => Err(RunFailure::Degraded(words).into()),
        Verdict::TimeOut => Err(RunFailure::TimeOut(limit).into()),
        Verdict::Ended => Err(RunFailure::Ended.into()),
    }
}

fn start_error(machine: &Machine, source: io::Error) -> RunFailure {
    RunFailure::Machine(RunError::Start {
        program: machine.program(),
        package: Machine::package(machine.architecture),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    #[test]
    fn a_file_that_is_no_image_is_refused_before_anything_starts() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("x.img");
        std::fs::write(&image, vec![0; 1 << 20]).unwrap();
        let options = Options {
            image,
            ports: Vec::new(),
            memory_mib: 512,
            cpus: 1,
            firmware: FirmwareKind::Open,
            trust: None,
            until_healthy: None,
        };
        let error = run(&options, &testing::context().0).unwrap_err();
        assert_eq!(error.class(), FailureClass::Input);
        assert!(error.to_string().contains("x.img"), "{error}");
    }
}
