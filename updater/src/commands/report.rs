//! `outcrop-updater report`: what this device is, signed, to whoever looks after it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use outcrop_release::{
    bootrec::BootRecord,
    channel::{ChannelName, tree_url},
    device_config::DeviceConfig,
    report::{Followed, Health, Report, Standing},
};

use super::{CommandError, Opened, check, key, remembered, say, warn};
use crate::{
    agent::Memory,
    attest::Attestation,
    block_disk::Access,
    chain,
    channel::Remembered,
    device::Device,
    device_config,
    device_key::DeviceKey,
    last_update::last_update,
    recorder,
    reports::{FolderSink, Sink, WebSink, keep, next_sequence, send_with},
    status::read_status,
};

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ReportOptions {
    /// Where it goes: an address that takes reports by POST, or a folder. Those that didn't arrive earlier go first.
    #[arg(long, value_name = "URL|DIR")]
    pub to: Option<String>,
}

/// Makes a report. With `--to`, it is sent, and waits on the device until it has arrived; without, it is printed.
///
/// # Errors
/// See [`CommandError`].
pub fn report(root: &Path, options: &ReportOptions) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    let state = device.state_folder();
    let key = key(&device)?;
    let mut sink = options.to.as_deref().map(sink).transpose()?;
    // A damaged memory is the agent's to tell.
    let standing = Memory::load(&state).ok().and_then(|memory| memory.standing);
    let report = gather(root, &device, key, standing)?;
    let sequence = report.sequence;
    let kept = keep(&state, key, report)?;
    if let Some(error) = &kept.unsaved {
        warn(&format!("the report can't be kept: {}", chain::describe(error)));
    }
    match &mut sink {
        Some(sink) => {
            let sent = send_with(&state, &kept, sink.as_mut())?;
            sent.dropped.iter().for_each(|line| warn(line));
            let arrived = sent.arrived;
            say(&format!("{arrived} reports sent, the last one number {sequence}"));
        }
        None => say(String::from_utf8_lossy(&kept.bytes).trim_end()),
    }
    Ok(())
}

pub(super) fn sink(to: &str) -> Result<Box<dyn Sink>, check::NoChannel> {
    if to.starts_with("http://") || to.starts_with("https://") {
        let url = tree_url(to).map_err(check::NoChannel::Address)?;
        return Ok(Box::new(WebSink(url)));
    }
    Ok(Box::new(FolderSink(PathBuf::from(to))))
}

/// What this device is; `standing` is how its agent stands.
pub(super) fn gather(
    root: &Path,
    device: &Device,
    key: &DeviceKey,
    standing: Option<Standing>,
) -> Result<Report, CommandError> {
    let state = device.state_folder();
    let record = Opened::open(device, Access::Read)?.lifecycle(device).record()?;
    let history = remembered(device)?;
    let config = device_config::kept(&state)?;
    // What can't be told isn't healthy.
    let is_fine = read_status(root).is_ok_and(|status| status.degraded.is_empty());
    let head = recorder::head(&state, key)?;
    Ok(Report {
        key: *key.public(),
        sequence: next_sequence(&state)?,
        at: Timestamp::now(),
        hostname: config.hostname.clone(),
        labels: config.labels.clone(),
        running: device.release.release.clone(),
        manifest: record.slot(device.slot()).release,
        slot: device.slot().to_string(),
        channel: followed(device, &config)?,
        last: history.last.as_ref().map(|last| last_update(last, &record)),
        agent: standing,
        health: health(device, &record, is_fine),
        // It takes a while, and says more than that something is wrong: where it can't be told, the rest is.
        drift: Attestation::of(root).ok().map(|found| found.drift()),
        history: head,
    })
}

fn followed(device: &Device, config: &DeviceConfig) -> Result<Option<Followed>, CommandError> {
    let own = config
        .channel
        .as_ref()
        .and_then(|name| name.parse::<ChannelName>().ok());
    let name = match own {
        Some(name) => Some(name),
        None => check::definition(device)?.map(|definition| definition.channel),
    };
    let Some(name) = name else { return Ok(None) };
    // A damaged memory is `check`'s to tell.
    let remembered = Remembered::load(&device.state_folder().join(check::CHANNELS), &name)
        .ok()
        .flatten();
    Ok(remembered.map(|remembered| Followed {
        name: name.to_string(),
        serial: remembered.seen.serial,
    }))
}

fn health(device: &Device, record: &BootRecord, is_fine: bool) -> Health {
    if !is_fine {
        return Health::Degraded;
    }
    match record.default == device.slot() {
        true => Health::Healthy,
        false => Health::OnTrial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_server_s_and_anything_else_a_folder() {
        assert!(sink("https://u:p@a").is_err());
        assert!(sink("https://fleet.example/reports").is_ok() && sink("/mnt/stick").is_ok());
    }
}
