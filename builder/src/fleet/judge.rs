//! Which of a device's reports counts. They are judged in the order in which the device made them, never in that of their files.

use std::path::PathBuf;

use jiff::Timestamp;
use outcrop_release::{device_id::DeviceId, journal::Head, report::Report};

use super::Why;

/// A report that its device signed, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub device: DeviceId,
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub report: Report,
}

/// What the newest report of a device said that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub sequence: u64,
    /// When it was made, by the device's clock.
    pub at: Timestamp,
    /// The newest event of its history that was told last.
    pub history: Option<Head>,
    /// When its history wasn't only appended to.
    pub broken: Option<Broken>,
}

/// A history that lost events: it was damaged and begun anew, or somebody cut it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// How many events there were.
    pub before: u64,
    /// How many there were in the next report; 0 for no history.
    pub after: u64,
    /// Since when: the later time of both reports.
    pub at: Timestamp,
}

/// What became of one device's reports.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The one that counts.
    pub(super) counts: Option<Found>,
    /// What is to be remembered of the device.
    pub(super) seen: Option<Seen>,
    /// Those that nobody should believe. Older ones aren't among them: they are only older.
    pub(super) rejected: Vec<(PathBuf, Why)>,
}

/// Judges all reports of one device: `found` is in the order of their numbers.
pub(super) fn judge(found: impl IntoIterator<Item = Found>, remembered: Option<Seen>) -> Judged {
    let mut judged = Judged {
        seen: remembered,
        ..Judged::default()
    };
    let (mut found, mut older) = (found.into_iter().peekable(), None);
    while let Some(first) = found.next() {
        let number = first.report.sequence;
        let mut same = vec![first];
        while let Some(next) = found.next_if(|next| next.report.sequence == number) {
            same.push(next);
        }
        older = judged.take(same).or(older);
    }
    // Beside a newer report an older one is no more than that; alone, it stands where a newer one was.
    if judged.counts.is_none()
        && judged.rejected.is_empty()
        && let Some((older, seen)) = older.zip(judged.seen.as_ref())
    {
        let why = Why::Replayed {
            device: older.device,
            sequence: older.report.sequence,
            newest: seen.sequence,
        };
        judged.rejected.push((older.path, why));
    }
    judged
}

impl Judged {
    /// Takes the reports of one number. What is older than what was seen comes back.
    fn take(&mut self, same: Vec<Found>) -> Option<Found> {
        let first = same.first()?;
        let is_twin = same.iter().any(|other| other.report != first.report);
        if is_twin
            || self
                .seen
                .as_ref()
                .is_some_and(|seen| seen.contradicts(&first.report))
        {
            // Which of them is the device's can't be told.
            self.rejected.extend(same.into_iter().map(|found| {
                let (device, sequence) = (found.device, found.report.sequence);
                (found.path, Why::Twins { device, sequence })
            }));
            return None;
        }
        let first = same.into_iter().next()?;
        let seen = self.seen.as_ref();
        if seen.is_some_and(|seen| first.report.sequence < seen.sequence) {
            return Some(first);
        }
        if seen.is_none_or(|seen| first.report.sequence > seen.sequence) {
            self.seen = Some(Seen::after(seen, &first.report));
        }
        self.counts = Some(first);
        None
    }
}

impl Seen {
    fn after(before: Option<&Self>, report: &Report) -> Self {
        let history = before.and_then(|before| before.history);
        Self {
            sequence: report.sequence,
            at: report.at,
            // A history that isn't told once doesn't make forget what it was.
            history: report.history.or(history),
            broken: before.and_then(|before| before.lost(report).or(before.broken)),
        }
    }

    /// The events that a later report's history doesn't have any more.
    fn lost(&self, report: &Report) -> Option<Broken> {
        let before = self.history?;
        let is_whole = report.history.is_some_and(|now| {
            now.number > before.number || (now.number == before.number && now.digest == before.digest)
        });
        (!is_whole).then(|| Broken {
            before: before.number,
            after: report.history.map_or(0, |now| now.number),
            at: self.at.max(report.at),
        })
    }

    /// Whether a report has the number of the one that was seen, and is another one.
    fn contradicts(&self, report: &Report) -> bool {
        let is_same_history = report.history.is_none() || report.history == self.history;
        self.sequence == report.sequence && (self.at != report.at || !is_same_history)
    }
}
