//! `outcrop-updater install`, and the agent's way to do the same.

mod scratch;
mod work;

use std::{num::NonZeroU64, path::Path};

use jiff::Timestamp;
use outcrop_release::{digest::FileDigest, journal::Event, plan::Link};

use super::{
    CommandError, OnlyOne, Opened, announce, drain::before_restart, progress::Listener, progress::Progress,
    reboot, record as record_event, remember, signals::Stop, state::with_keeper,
};
use crate::{
    block_disk::Access,
    device::Device,
    install::{FileSource, HttpSource, Limited, Limits, Meter, Metered, Refusal, WebServer},
};
use work::{Then, Work};

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct InstallOptions {
    /// The bundle: a file, or an address that begins with http:// or https://.
    #[arg(value_name = "FILE|URL")]
    pub bundle: String,
    /// Says what it would cost, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Refuses to fetch more than that, before anything is changed.
    #[arg(long, value_name = "BYTES")]
    pub max_download: Option<u64>,
    /// Tells the time for a link that brings so many bytes a second.
    #[arg(long, value_name = "BYTES", default_value_t = Link::default().rate)]
    pub rate: NonZeroU64,
    /// Tells the time for a link whose answers begin after so many milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub latency: u32,
    /// Takes no delta: what the running slot lacks is fetched from the bundle.
    #[arg(long)]
    pub no_delta: bool,
    /// Also a release that is older than what runs.
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Also a release whose Kubernetes is older than the one that wrote this device's state, or skips a minor version.
    #[arg(long)]
    pub allow_kubernetes_skip: bool,
    /// Also a release that failed on this device.
    #[arg(long)]
    pub retry_failed: bool,
    /// Restarts into the trial when everything is written.
    #[arg(long)]
    pub reboot: bool,
    /// Tells everything as JSON lines.
    #[arg(long)]
    pub json: bool,
    /// Tells nothing but failures.
    #[arg(long, short)]
    pub quiet: bool,
}

impl InstallOptions {
    /// What an agent would type: nobody watches, nothing is waived.
    fn unattended(bundle: String) -> Self {
        Self {
            bundle,
            dry_run: false,
            max_download: None,
            rate: Link::default().rate,
            latency: 100,
            no_delta: false,
            allow_downgrade: false,
            allow_kubernetes_skip: false,
            retry_failed: false,
            reboot: false,
            json: false,
            quiet: true,
        }
    }
}

/// Installs a release into the slot that doesn't run, and has it tried at the next boot.
///
/// # Errors
/// See [`CommandError`].
pub fn install(root: &Path, options: &InstallOptions) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    // Before anybody is asked for the bundle: that may take long.
    let record = Opened::open(&device, Access::Read)?.lifecycle(&device).record()?;
    if record.default != device.slot() {
        return Err(Refusal::OnTrial.into());
    }
    let _only_one = OnlyOne::new(&device)?;
    let stop = Stop::on_signals().map_err(CommandError::Signals)?;
    let progress = Progress::new(Listener::new(options.json, options.quiet), stop.clone());
    let work = Work {
        device: &device,
        options,
        progress: &progress,
        then: Then::Arm,
    };
    let done = from_place(&work, &stop, Limits::default(), &Meter::default());
    if let Err(error @ (CommandError::Refused(_) | CommandError::Untrusted(_) | CommandError::PreCheck(_))) =
        &done
    {
        let event = Event::Refused {
            what_was: options.bundle.clone(),
            reason: crate::chain::describe(error),
        };
        record_event(&device, event);
    }
    done
}

/// Writes the release with that manifest to the slot that doesn't run, and leaves it there: nothing starts it by itself. `meter` counts what is fetched.
///
/// # Errors
/// See [`CommandError`]; also when `limits` are reached.
pub(super) fn stage(
    device: &Device,
    bundle: String,
    manifest: FileDigest,
    limits: Limits,
    meter: &Meter,
    stop: &Stop,
) -> Result<(), CommandError> {
    let _only_one = OnlyOne::new(device)?;
    let options = InstallOptions::unattended(bundle);
    let progress = Progress::new(Listener::new(false, true), stop.clone());
    let work = Work {
        device,
        options: &options,
        progress: &progress,
        then: Then::Leave(manifest),
    };
    from_place(&work, stop, limits, meter)
}

/// Installs from a file or an address, whichever it is.
fn from_place(work: &Work<'_>, stop: &Stop, limits: Limits, meter: &Meter) -> Result<(), CommandError> {
    let bundle = &work.options.bundle;
    if bundle.starts_with("http://") || bundle.starts_with("https://") {
        let open = |address: &str| {
            let server = WebServer::new(address).map_err(CommandError::Web)?;
            let source = HttpSource::new(Metered::new(server, meter.clone()), stop.clone());
            Ok::<_, CommandError>(Limited::new(source, limits, meter.clone(), Timestamp::now))
        };
        work.install(&mut open(bundle)?, &|address| open(address).ok())
    } else {
        // Somebody names a file; the agent finds one in a tree that was brought.
        let open = match work.then {
            Then::Arm => FileSource::open,
            Then::Leave(_) => FileSource::open_in_tree,
        };
        let mut file = open(Path::new(bundle))?;
        // Where there is none, there is no file.
        work.install(&mut file, &|path| open(Path::new(path)).ok())
    }
}

/// Arms the trial of what the other slot holds.
fn arm_other(device: &Device, opened: &mut Opened) -> Result<(), CommandError> {
    // The installation took its time, and the state may have grown.
    with_keeper(device, |keeper| {
        keeper.check_room().map_err(CommandError::NoRoomForState)
    })?
    .transpose()?;
    Ok(opened.lifecycle(device).arm()?)
}

/// Restarts into the trial of what the other slot holds; armed already or not.
///
/// # Errors
/// See [`CommandError`].
pub(super) fn restart_into_trial(device: &Device) -> Result<(), CommandError> {
    let only_one = OnlyOne::new(device)?;
    let mut opened = Opened::open(device, Access::Write)?;
    let record = opened.lifecycle(device).record()?;
    // Whoever wrote it may have been stopped before that was remembered, and a release that panics can't say what it is.
    remember(device, |history| history.settle(&record));
    if record.trial.is_none() {
        arm_other(device, &mut opened)?;
    }
    drop(only_one);
    announce(&format!(
        "restarting into the trial of slot {}",
        device.slot().other()
    ));
    before_restart(&device.path("/"));
    reboot()
}
