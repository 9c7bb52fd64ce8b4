//! `outcrop-updater history`: what became of releases on this device, and whether anybody changed that afterwards.

use std::path::Path;

use outcrop_release::journal::{Entry, Event, Head, Kept, Verified};
use serde_json::json;

use super::{CommandError, key, say};
use crate::{device::Device, device_key::DeviceKey, recorder};

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct HistoryOptions {
    /// Says whether the history is whole: no event edited, removed or put elsewhere.
    #[arg(long)]
    pub verify: bool,
    /// With `--verify`: also whether it still has this event, as a report or an earlier `history` told it, so that its end wasn't cut off.
    #[arg(long, value_name = "NUMBER:DIGEST", value_parser = parse_head, requires = "verify")]
    pub head: Option<Head>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

fn parse_head(text: &str) -> Result<Head, String> {
    let bad = || format!("{text:?} is no head: it is like 7:SHA-256");
    let (number, digest) = text.split_once(':').ok_or_else(bad)?;
    Ok(Head {
        number: number.parse().map_err(|_| bad())?,
        digest: digest.parse().map_err(|_| bad())?,
    })
}

/// Tells the history. It is checked in any case.
///
/// # Errors
/// When it can't be read, or isn't what this device wrote.
pub fn history(root: &Path, options: &HistoryOptions) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    let key = key(&device)?;
    let verified = recorder::verified(&device.state_folder(), key)?;
    if let Some(head) = &options.head
        && let Kept::Older { oldest } = verified.has(head).map_err(CommandError::Journal)?
    {
        let number = head.number;
        return Err(CommandError::TooOld { number, oldest });
    }
    if options.json {
        say(&to_json(&verified, key));
        return Ok(());
    }
    if !options.verify {
        let lines: Vec<String> = verified.entries.iter().map(describe).collect();
        say(lines.join("\n").trim_end());
    }
    say(&summary(&verified, key));
    Ok(())
}

fn summary(verified: &Verified, key: &DeviceKey) -> String {
    let device = key.device();
    match verified.last {
        None => format!("nothing has happened on the device {device} yet"),
        Some(last) => format!(
            "whole: {} events of the device {device}, the last one {}:{}",
            verified.entries.len(),
            last.head.number,
            last.head.digest
        ),
    }
}

fn to_json(verified: &Verified, key: &DeviceKey) -> String {
    let event =
        |entry: &Entry| json!({ "number": entry.number, "at": entry.at.to_string(), "event": entry.event });
    let head = verified
        .last
        .map(|last| format!("{}:{}", last.head.number, last.head.digest));
    let all = json!({
        "device": key.device().to_string(),
        "public-key": key.public().to_string(),
        "head": head,
        "events": verified.entries.iter().map(event).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

fn describe(entry: &Entry) -> String {
    let what = match &entry.event {
        Event::Began { damaged: false, .. } => "the history begins".to_owned(),
        Event::Began { damaged: true, .. } => {
            "the history begins anew: the one before was damaged".to_owned()
        }
        Event::Checkpoint => "checkpoint".to_owned(),
        Event::Release {
            fate,
            version,
            slot,
            reason,
        } => {
            let reason = reason
                .as_ref()
                .map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{version} {fate} in slot {slot}{reason}")
        }
        Event::Refused { what_was, reason } => format!("{what_was} refused: {reason}"),
        Event::Decided {
            deed,
            version,
            reason,
        } => {
            let reason = reason
                .as_ref()
                .map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{version} {deed}{reason}")
        }
    };
    format!("{:>6}  {}  {what}", entry.number, entry.at)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use outcrop_release::{
        digest::FileDigest,
        journal::{Deed, Last, line, signed_message},
    };

    use super::*;
    use crate::testing::root;

    #[test]
    fn verify_refuses_a_history_that_was_edited_or_cut_or_is_another_device_s() {
        let folder = tempfile::tempdir().unwrap();
        let device = root::device(folder.path());
        let state = device.state_folder();
        fs::create_dir_all(&state).unwrap();
        for version in ["1.1.0", "1.2.0", "1.3.0"] {
            let event = Event::Decided {
                deed: Deed::Restart,
                version: version.to_owned(),
                reason: None,
            };
            assert_eq!(recorder::record(&state, key(&device), event), [""; 0]);
        }
        let log = state.join("history/000001.log");
        let whole = fs::read(&log).unwrap();
        let last = recorder::verified(&state, key(&device).unwrap())
            .unwrap()
            .last
            .unwrap();
        let verify = |head: Option<Head>| {
            let options = HistoryOptions {
                verify: true,
                head,
                json: false,
            };
            match history(folder.path(), &options) {
                Ok(()) => 0,
                Err(error) => error.exit_code(),
            }
        };
        assert_eq!((verify(None), verify(Some(last.head))), (0, 0));
        let other = Head {
            digest: FileDigest::of(b"another event"),
            ..last.head
        };
        assert_eq!(verify(Some(other)), 58);

        let text = String::from_utf8(whole.clone()).unwrap();
        fs::write(&log, text.replace("1.2.0", "1.2.9")).unwrap();
        assert_eq!(verify(None), 58);
        let lines: Vec<&str> = text.lines().collect();
        let without_the_last = lines[..lines.len() - 1].join("\n") + "\n";
        fs::write(&log, without_the_last).unwrap();
        // Nothing is wrong with what is there: only who knows the newest event can tell.
        assert_eq!((verify(None), verify(Some(last.head))), (0, 58));
        fs::write(&log, &whole).unwrap();
        fs::remove_file(state.join("device.key")).unwrap();
        assert_eq!(verify(None), 58, "a device that has another key");
    }

    #[test]
    fn verify_doesn_t_say_that_an_event_is_there_which_is_older_than_all_that_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let device = root::device(folder.path());
        let (state, key) = (device.state_folder(), key(&device).unwrap());
        let before = Last {
            head: Head {
                number: 7,
                digest: FileDigest::of(b"event 7"),
            },
            fates: 0,
        };
        let checkpoint = Entry::after(
            Some(&before),
            jiff::Timestamp::UNIX_EPOCH,
            key.device(),
            Event::Checkpoint,
        );
        let (json, log) = (checkpoint.to_json(), state.join("history/000002.log"));
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::write(log, line(&json, &key.sign(&signed_message(&json)).unwrap())).unwrap();
        let verify = |head| {
            let options = HistoryOptions {
                verify: true,
                head: Some(head),
                json: false,
            };
            history(folder.path(), &options)
        };
        verify(checkpoint.last().head).unwrap();
        let error = verify(before.head).unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.to_string().contains("begins with event 8"), "{error}");
    }

    #[test]
    fn a_head_is_what_history_tells() {
        let digest = FileDigest::of(b"x");
        let head = parse_head(&format!("7:{digest}")).unwrap();
        assert_eq!(head, Head { number: 7, digest });
        for text in ["", "7", "7:", ":00", "x:00", "7:00"] {
            assert!(parse_head(text).is_err(), "{text}");
        }
    }
}
