//! `outcrop-updater report`: what this device is, signed, to whoever looks after it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use outcrop_release::{
    bootrec::{BadReason, BootRecord, SlotState},
    channel::{ChannelName, tree_url},
    device_config::DeviceConfig,
    journal::Fate,
    report::{Followed, Health, LastUpdate, Reason, Report},
};

use super::{CommandError, Opened, check, remembered, say};
use crate::{
    attest::Attestation,
    block_disk::Access,
    channel::Remembered,
    device::Device,
    device_config,
    device_key::DeviceKey,
    history::Outcome,
    journal::Journal,
    reports::{FolderSink, Sink, WebSink, keep, next_sequence, send_all},
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
    let key = DeviceKey::of(&state)?;
    let mut sink = options.to.as_deref().map(sink).transpose()?;
    let report = gather(root, &device, &key)?;
    let bytes = keep(&state, &key, &report)?;
    match &mut sink {
        Some(sink) => {
            let sent = send_all(&state, sink.as_mut())?;
            say(&format!(
                "{} reports sent, the last one number {}",
                sent, report.sequence
            ));
        }
        None => say(String::from_utf8_lossy(&bytes).trim_end()),
    }
    Ok(())
}

fn sink(to: &str) -> Result<Box<dyn Sink>, check::NoChannel> {
    if to.starts_with("http://") || to.starts_with("https://") {
        let url = tree_url(to).map_err(check::NoChannel::Address)?;
        return Ok(Box::new(WebSink(url)));
    }
    Ok(Box::new(FolderSink(PathBuf::from(to))))
}

fn gather(root: &Path, device: &Device, key: &DeviceKey) -> Result<Report, CommandError> {
    let state = device.state_folder();
    let record = Opened::open(device, Access::Read)?.lifecycle(device).record()?;
    let history = remembered(device)?;
    let config = device_config::kept(&state)?;
    // What can't be told isn't healthy.
    let is_fine = read_status(root).is_ok_and(|status| status.degraded.is_empty());
    let head = Journal::open(&state, key)?.last().map(|last| last.head);
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
        health: health(device, &record, is_fine),
        // It takes a while, and says more than that something is wrong: where it can't be told, the rest is.
        differences: Attestation::of(root)
            .ok()
            .map(|found| u32::try_from(found.differences.len()).unwrap_or(u32::MAX)),
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

fn last_update(last: &Outcome, record: &BootRecord) -> LastUpdate {
    let detail = last
        .reason
        .clone()
        .map(|text| text.replace(char::is_control, " "));
    let reason = match last.fate {
        Fate::Installed | Fate::Committed => None,
        Fate::RolledBack => Some(Reason::Operator),
        Fate::Failed => Some(reason_of(bad_reason(last, record), detail.as_deref())),
    };
    LastUpdate {
        fate: last.fate,
        version: last.version.clone(),
        reason,
        detail: detail.map(|text| text.chars().take(300).collect()),
    }
}

/// What the boot record says of the slot that failed.
fn bad_reason(last: &Outcome, record: &BootRecord) -> Option<BadReason> {
    let slots = outcrop_release::slot::Slot::ALL.into_iter();
    let mut bad = slots
        .filter(|slot| slot.to_string() == last.slot)
        .filter_map(|slot| match record.slot(slot).state {
            SlotState::Bad(reason) => Some(reason),
            _ => None,
        });
    bad.next()
}

/// One of the few reasons that can be counted.
fn reason_of(bad: Option<BadReason>, detail: Option<&str>) -> Reason {
    let is_kubernetes = detail.is_some_and(|text| text.to_lowercase().contains("kubernetes"));
    match bad {
        Some(BadReason::CheckFailed | BadReason::Deadline) if is_kubernetes => Reason::Kubernetes,
        Some(BadReason::Panic | BadReason::Watchdog | BadReason::Damaged | BadReason::TooManyAttempts) => {
            Reason::BootFailed
        }
        Some(BadReason::TooManyTries) => Reason::Power,
        Some(BadReason::Operator) => Reason::Operator,
        Some(BadReason::CheckFailed | BadReason::Deadline) | None => Reason::CheckFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_fail_has_its_reason() {
        for (bad, detail, reason) in [
            (
                Some(BadReason::CheckFailed),
                Some("the check ssh didn't hold"),
                Reason::CheckFailed,
            ),
            (
                Some(BadReason::Deadline),
                Some("kubernetes-node: not ready"),
                Reason::Kubernetes,
            ),
            (Some(BadReason::Panic), None, Reason::BootFailed),
            (Some(BadReason::Watchdog), None, Reason::BootFailed),
            (Some(BadReason::Damaged), None, Reason::BootFailed),
            (Some(BadReason::TooManyTries), None, Reason::Power),
            (Some(BadReason::Operator), None, Reason::Operator),
            (None, None, Reason::CheckFailed),
        ] {
            assert_eq!(reason_of(bad, detail), reason, "{bad:?}");
        }
    }

    #[test]
    fn an_address_is_a_server_s_and_anything_else_a_folder() {
        assert!(sink("https://u:p@a").is_err());
        assert!(sink("https://fleet.example/reports").is_ok() && sink("/mnt/stick").is_ok());
    }
}
