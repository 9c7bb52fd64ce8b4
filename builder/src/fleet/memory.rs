//! What is known of each device from one run to the next, so that an old report in the place of a newer one is found.
//!
//! ```text
//! outcrop-fleet-memory 1
//! 21fe31dfa154a261626bf854046fd227 41 2026-11-30T12:00:00Z 9:<SHA-256 of event 9>
//! 5f2c31dfa154a261626bf854046fd227 17 2026-11-30T12:00:00Z 3:<SHA-256 of event 3> 9 3 2026-11-29T12:00:00Z
//! ```
//! A line is a device: its name, the number and time of its newest report, the newest event of its history or `-`, and, where the history has
//! lost events, how many there were, how many there were then, and since when.

use std::{collections::BTreeMap, fmt::Write as _, fs, io, path::Path};

use jiff::Timestamp;
use outcrop_release::{device_id::DeviceId, journal::Head};

use super::{Broken, FleetError, Seen};
use crate::output::replace_file;

const HEADER: &str = "outcrop-fleet-memory 1";

/// The newest that is known of each device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    before: Option<usize>,
    devices: BTreeMap<DeviceId, Seen>,
}

impl Memory {
    /// What the file at `path` remembers; nothing yet when there is none.
    ///
    /// # Errors
    /// When it can't be read, or is damaged: without it old reports can't be told from new ones.
    pub fn read(path: &Path) -> Result<Self, FleetError> {
        match fs::read(path) {
            Ok(bytes) => Self::parse(&bytes).map_err(|(line, text)| FleetError::Memory {
                path: path.to_owned(),
                line,
                text,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self {
                before: Some(0),
                ..Self::default()
            }),
            Err(source) => Err(FleetError::Io {
                doing: "read",
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Replaces the file at `path`: after a power cut it is the old one or the new one.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<(), FleetError> {
        replace_file(path, self.to_text().as_bytes()).map_err(|source| FleetError::Io {
            doing: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// How many devices a file remembered; none when nothing is remembered.
    #[must_use]
    pub const fn before(&self) -> Option<usize> {
        self.before
    }

    /// What is known of a device.
    #[must_use]
    pub fn of(&self, device: &DeviceId) -> Option<&Seen> {
        self.devices.get(device)
    }

    /// All devices of which something is known.
    pub fn iter(&self) -> impl Iterator<Item = (&DeviceId, &Seen)> {
        self.devices.iter()
    }

    /// Remembers what was seen of a device.
    pub(super) fn remember(&mut self, device: DeviceId, seen: Seen) {
        self.devices.insert(device, seen);
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for (device, seen) in &self.devices {
            let Seen {
                sequence,
                at,
                history,
                broken,
            } = seen;
            let _infallible = write!(text, "{device} {sequence} {at} ");
            let _infallible = match history {
                Some(Head { number, digest }) => write!(text, "{number}:{digest}"),
                None => write!(text, "-"),
            };
            if let Some(Broken { before, after, at }) = broken {
                let _infallible = write!(text, " {before} {after} {at}");
            }
            text.push('\n');
        }
        text
    }

    /// Otherwise, the line that is none and its text.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, (usize, String)> {
        // What isn't UTF-8 is no line, either.
        let text = String::from_utf8_lossy(bytes);
        let mut devices = BTreeMap::new();
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let bad = || (number, line.chars().take(100).collect());
            // A last line without its end was cut off.
            let whole = line.strip_suffix('\n').ok_or_else(bad)?;
            if number == 1 {
                (whole == HEADER).then_some(()).ok_or_else(bad)?;
                continue;
            }
            let (device, seen) = device(whole).ok_or_else(bad)?;
            if devices.insert(device, seen).is_some() {
                return Err(bad());
            }
        }
        if text.is_empty() {
            return Err((1, String::new()));
        }
        Ok(Self {
            before: Some(devices.len()),
            devices,
        })
    }
}

fn device(line: &str) -> Option<(DeviceId, Seen)> {
    let words: Vec<&str> = line.split(' ').collect();
    let (device, sequence, at, history, broken) = match *words.as_slice() {
        [device, sequence, at, history] => (device, sequence, at, history, None),
        [device, sequence, at, history, before, after, since] => {
            let broken = Broken {
                before: before.parse().ok()?,
                after: after.parse().ok()?,
                at: since.parse::<Timestamp>().ok()?,
            };
            (device, sequence, at, history, Some(broken))
        }
        _ => return None,
    };
    let seen = Seen {
        sequence: sequence.parse().ok()?,
        at: at.parse().ok()?,
        history: match history {
            "-" => None,
            history => Some(head(history)?),
        },
        broken,
    };
    Some((device.parse().ok()?, seen))
}

fn head(text: &str) -> Option<Head> {
    let (number, digest) = text.split_once(':')?;
    Some(Head {
        number: number.parse().ok()?,
        digest: digest.parse().ok()?,
    })
}
