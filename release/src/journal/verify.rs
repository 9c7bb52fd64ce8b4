//! Reading a history, and finding out what was done to it.

use super::{Entry, Event, FORMAT, Head, Json, Last, MAX_LINE_BYTES, signed_message};
use crate::{device_id::DeviceId, trust::PublicKey};

/// Hexadecimal digits of a signature.
const SIGNATURE_DIGITS: usize = 128;

/// A history that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its events.
    pub entries: Vec<Entry>,
    /// The newest one.
    pub last: Option<Last>,
    /// Bytes behind the last whole line: a power cut left them.
    pub torn: usize,
}

/// What becomes of an event that somebody kept the head of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is there.
    There,
    /// It is older than all that are there. It may be gone by right, and whether it was this one can't be told any more.
    Older {
        /// The first that is there.
        oldest: u64,
    },
}

/// What was done to a history.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A line that is no event.
    #[error("line {line} of the history is no event")]
    Line {
        /// Which line, from 1.
        line: usize,
    },
    /// An event of a newer Outcrop.
    #[error("line {line} of the history has format {format}, this program reads format {FORMAT}")]
    Format {
        /// Which line.
        line: usize,
        /// Its format.
        format: u32,
    },
    /// An event that was edited.
    #[error("event {number} was changed: the device didn't sign it as it is")]
    Edited {
        /// Which one.
        number: u64,
    },
    /// Another device's event.
    #[error("event {number} is of the device {device}, not of this one")]
    Foreign {
        /// Which one.
        number: u64,
        /// Whose.
        device: DeviceId,
    },
    /// Events are missing, or in another order.
    #[error("event {found} stands where event {expected} must be: some were removed or put in another order")]
    Order {
        /// The number that must come.
        expected: u64,
        /// The number that comes.
        found: u64,
    },
    /// An event that follows another one.
    #[error("event {number} doesn't follow the one before it: that one was replaced")]
    Chain {
        /// Which one.
        number: u64,
    },
    /// The oldest events are gone, not up to a checkpoint.
    #[error("the history begins with event {number}, where none begins: older events were removed")]
    Beginning {
        /// The first that is there.
        number: u64,
    },
    /// The newest events are gone.
    #[error("the history ends with event {last}, and event {kept} was there once: its end was cut off")]
    Cut {
        /// The last that is there; 0 for none.
        last: u64,
        /// The one that somebody kept.
        kept: u64,
    },
    /// Another event has that number.
    #[error("event {number} isn't the one that was there once: the history was written anew")]
    Replaced {
        /// Which one.
        number: u64,
    },
}

/// Checks a history: all its files, one behind the other, against the device's key.
///
/// # Errors
/// The first thing that is wrong: see [`JournalError`].
pub fn verify(bytes: &[u8], key: &PublicKey) -> Result<Verified, JournalError> {
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let (lines, torn) = bytes.split_at(whole);
    let (device, mut entries, mut last) = (DeviceId::of(key), Vec::new(), None::<Last>);
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    for (line, bytes) in (1..).zip(lines) {
        let entry = signed(bytes, line, key, device)?;
        follows(&entry, last.as_ref())?;
        last = Some(entry.last());
        entries.push(entry);
    }
    Ok(Verified {
        entries,
        last,
        torn: torn.len(),
    })
}

/// The event of a line that the device signed, wherever it stands.
///
/// # Errors
/// When it is no event, or not this device's.
pub fn parse_line(line: &[u8], key: &PublicKey) -> Result<Entry, JournalError> {
    signed(line, 1, key, DeviceId::of(key))
}

fn signed(bytes: &[u8], line: usize, key: &PublicKey, device: DeviceId) -> Result<Entry, JournalError> {
    let (json, signature) = parts(bytes).ok_or(JournalError::Line { line })?;
    let entry = parse(json, line)?;
    let number = entry.number;
    if !key.has_signed(&signed_message(json), &signature) {
        return Err(match entry.device == device {
            true => JournalError::Edited { number },
            false => JournalError::Foreign {
                number,
                device: entry.device,
            },
        });
    }
    // What follows has the digest of these very bytes.
    if entry.to_json() == json {
        Ok(entry)
    } else {
        Err(JournalError::Line { line })
    }
}

fn follows(entry: &Entry, last: Option<&Last>) -> Result<(), JournalError> {
    let number = entry.number;
    let Some(last) = last else {
        let begins = match entry.event {
            Event::Began { .. } => number == 1,
            Event::Checkpoint => true,
            _ => false,
        };
        return begins.then_some(()).ok_or(JournalError::Beginning { number });
    };
    let expected = last.head.number.saturating_add(1);
    if number != expected {
        return Err(JournalError::Order {
            expected,
            found: number,
        });
    }
    let is_fate = matches!(entry.event, Event::Release { .. });
    if entry.previous != last.head.digest || entry.fates != last.fates + u64::from(is_fate) {
        return Err(JournalError::Chain { number });
    }
    Ok(())
}

/// JSON and signature of a line.
fn parts(line: &[u8]) -> Option<(&[u8], [u8; 64])> {
    let line = line
        .strip_suffix(b"\n")
        .filter(|line| line.len() <= MAX_LINE_BYTES)?;
    let (rest, digits) = line.split_at_checked(line.len().checked_sub(SIGNATURE_DIGITS)?)?;
    let json = rest.strip_suffix(b" ")?;
    let mut signature = [0; 64];
    hex::decode_to_slice(digits, &mut signature).ok()?;
    Some((json, signature))
}

fn parse(json: &[u8], line: usize) -> Result<Entry, JournalError> {
    let bad = || JournalError::Line { line };
    let found: Json = serde_json::from_slice(json).map_err(|_| bad())?;
    if found.format != FORMAT {
        return Err(JournalError::Format {
            line,
            format: found.format,
        });
    }
    Ok(Entry {
        number: found.number,
        at: found.at,
        device: found.device.parse().map_err(|_| bad())?,
        previous: found.previous.parse().map_err(|_| bad())?,
        fates: found.fates,
        event: found.event,
    })
}

impl Verified {
    /// Checks that an event that somebody kept the head of is still there.
    ///
    /// # Errors
    /// [`JournalError::Cut`], [`JournalError::Replaced`].
    pub fn has(&self, kept: &Head) -> Result<Kept, JournalError> {
        let number = kept.number;
        let last = self.last.map_or(0, |last| last.head.number);
        if last < number {
            return Err(JournalError::Cut { last, kept: number });
        }
        let found = self.entries.iter().find(|entry| entry.number == number);
        match found {
            Some(entry) if entry.last().head.digest != kept.digest => Err(JournalError::Replaced { number }),
            Some(_) => Ok(Kept::There),
            None => Ok(Kept::Older {
                oldest: self.entries.first().map_or(0, |entry| entry.number),
            }),
        }
    }
}
