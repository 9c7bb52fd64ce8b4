//! What each command does. Here the decisions of the other modules meet the real device.

mod agent;
mod approve;
mod attest;
mod check;
mod commit;
mod drain;
mod error;
mod health;
mod history;
mod install;
mod install_to_disk;
mod join;
mod progress;
mod reason;
mod report;
mod rollback;
mod signals;
mod state;
mod status;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use outcrop_release::{cmdline::CommandLine, journal::Event};
use rustix::time::{ClockId, clock_gettime};

pub use agent::{AgentOptions, agent};
pub use approve::{ApproveError, ApproveOptions, approve};
pub use attest::attest;
pub use check::{CheckOptions, NoChannel, check};
pub use commit::{catch_up, commit, trial_deadline, trial_vetoed};
pub use drain::{drain, uncordon};
pub use error::CommandError;
pub use health::{HealthOptions, health};
pub use history::{HistoryOptions, history};
pub use install::{InstallOptions, install};
pub use install_to_disk::{ToDiskOptions, install_to_disk};
pub use join::{JoinOptions, join};
pub use report::{ReportOptions, report};
pub use rollback::rollback;
pub use state::{StateCommand, state};
pub use status::status;

use crate::{
    block_disk::{Access, BlockDisk},
    boot_control::DeviceBootControl,
    chain,
    device::Device,
    device_key::{DeviceKey, DeviceKeyError},
    durable::DurableError,
    history::History,
    init::efi::EfiVariables,
    lifecycle::Lifecycle,
    lock_file::{Held, hold},
    recorder,
};

/// The kernel's log takes no longer record than about 1000 bytes; a character has up to four.
const CONSOLE_CHARACTERS: usize = 220;
/// Where EFI variables are.
const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";

/// The kernel command line.
const COMMAND_LINE: &str = "/proc/cmdline";

type Control = DeviceBootControl<EfiVariables>;

/// Disk and boot loader of this device, to be changed.
struct Opened {
    disk: BlockDisk,
    control: Control,
}

impl Opened {
    fn open(device: &Device, access: Access) -> Result<Self, CommandError> {
        // Where it can't be read, nothing that boots this way could have been started.
        let command_line = fs::read_to_string(COMMAND_LINE).unwrap_or_default();
        Ok(Self {
            disk: BlockDisk::open(device.disk(), access)?,
            control: DeviceBootControl::of(
                &CommandLine::parse(&command_line),
                EfiVariables::new(EFI_VARIABLES),
            ),
        })
    }

    const fn lifecycle(&mut self, device: &Device) -> Lifecycle<'_, BlockDisk, Control> {
        Lifecycle {
            disk: &mut self.disk,
            control: &mut self.control,
            running: device.slot(),
        }
    }
}

/// Held while the releases on the disk are changed. One at a time.
struct OnlyOne {
    _file: File,
}

impl OnlyOne {
    fn new(device: &Device) -> Result<Self, CommandError> {
        let path = device.run_folder().join("update.lock");
        let file = hold(&path, Held::GiveWay)?.ok_or(CommandError::Busy)?;
        Ok(Self { _file: file })
    }
}

/// What is remembered, changed and kept. That it can't be kept is told and stops nothing: the boot record decides.
fn remember(device: &Device, change: impl FnOnce(&mut History)) {
    recorder::remember(&device.state_folder(), key(device), change)
        .iter()
        .for_each(|problem| warn(problem));
}

/// The device's key. That it can't be sealed is told, once.
fn key(device: &Device) -> Result<&DeviceKey, DeviceKeyError> {
    let is_known = device.knows_key();
    let key = device.key()?;
    if let Some(trouble) = key.trouble().filter(|_| !is_known) {
        warn(&chain::describe(trouble));
    }
    Ok(key)
}

/// What is remembered of releases, to look at. That a damaged file was set aside is told.
fn remembered(device: &Device) -> Result<History, DurableError> {
    let loaded = History::load(&device.state_folder())?;
    if let Some(aside) = loaded.set_aside {
        warn(&format!(
            "what was remembered is damaged, now in {}",
            aside.display()
        ));
    }
    Ok(loaded.history)
}

/// Appends an event that is no release's fate to the history. That it can't is told and stops nothing.
fn record(device: &Device, event: Event) {
    recorder::record(&device.state_folder(), key(device), event)
        .iter()
        .for_each(|problem| warn(problem));
}

/// Says a line on the console and in the journal: what becomes of releases is for whoever stands before the device, too.
fn announce(line: &str) {
    let short: String = line.chars().take(CONSOLE_CHARACTERS).collect();
    // Where the kernel's log can't be written to, standard output has it.
    let _ = File::options()
        .append(true)
        .open("/dev/kmsg")
        .and_then(|mut log| log.write_all(format!("<4>outcrop: {short}\n").as_bytes()));
    say(line);
}

/// A line for the person or the journal that listens.
fn say(line: &str) {
    // Where standard output is closed, nobody listens.
    let _ = writeln!(io::stdout(), "{line}");
}

fn warn(line: &str) {
    let _ = writeln!(io::stderr(), "outcrop-updater: {line}");
}

/// Asks the system to restart, whoever would rather not. Returns at once; everything is stopped in order, or, where systemd doesn't
/// take that, at once.
fn reboot() -> Result<(), CommandError> {
    let ask = |arguments: &[&str]| {
        let status = Command::new("/usr/bin/systemctl")
            .args(arguments)
            .stdin(Stdio::null())
            .status()?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "systemctl {} ends with {status}",
            arguments.join(" ")
        )))
    };
    ask(&["reboot", "--check-inhibitors=no"])
        .or_else(|_| ask(&["reboot", "--force"]))
        .map_err(CommandError::Reboot)
}

/// Says that the system goes down on purpose: the next boot counts nothing against what runs.
///
/// # Errors
/// When the data partition can't be written.
pub fn shutting_down(root: &Path) -> Result<(), CommandError> {
    let path = root.join(crate::facts::ORDERLY);
    Ok(crate::durable::replace(&path, b"")?)
}

/// Time since the kernel's start.
fn uptime() -> Duration {
    clock_gettime(ClockId::Boottime).try_into().unwrap_or_default()
}

/// Whether this boot is a trial.
fn on_trial(device: &Device) -> bool {
    fs::exists(device.run_folder().join(crate::facts::TRIAL_FILE)).unwrap_or(false)
}
