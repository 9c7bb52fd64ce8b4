//! Reports on their way: made, kept until they are sent, and sent in their order.
//!
//! `/var/lib/outcrop/reports/NNNNNNNNNN.report` are those that wait; `sequence` beside them is the number of the newest, so that none is used
//! twice. On a full disk the number is written into the block that it has, and the report is sent without being kept: who looks after the
//! device learns of it.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use outcrop_release::{
    report::{Reason, Report},
    signed,
    trust::{Purpose, Signature, SignatureError, Signatures, signed_message},
};

use crate::{
    device_key::{DeviceKey, DeviceKeyError},
    durable::{self, DurableError},
    journal::give_up_reserve,
    medium::{DataPartition, Medium, is_full},
    web::{Timeouts, agent},
};

/// The folder, in Outcrop's.
const FOLDER: &str = "reports";
const SEQUENCE: &str = "sequence";
/// Reports that wait; of more, the oldest go: the newest says how things are.
const MOST_WAITING: usize = 32;
/// Digits of a report's number.
const DIGITS: usize = 10;
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(15),
    stall: Duration::from_secs(30),
    whole: Some(Duration::from_secs(120)),
};

/// Refusals after which no more reports are tried: whoever refuses so many takes none.
const MOST_REFUSED: usize = 4;

/// Where reports go.
pub trait Sink {
    /// Hands a report over. When this returns, it needn't be kept.
    ///
    /// # Errors
    /// When it didn't arrive.
    fn send(&mut self, report: &Report, bytes: &[u8]) -> Result<(), SinkError>;
}

/// Why a report didn't arrive.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Nobody was there, or the disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Somebody was there, and didn't take it.
    #[error("{url} answers with status {status}")]
    Status {
        /// Who.
        url: String,
        /// HTTP status.
        status: u16,
    },
}

impl SinkError {
    /// Whether it is this report that isn't taken, whenever it comes. Source: RFC 9110, section 15.5; RFC 6585, section 4; RFC 8470, section 5.2.
    const fn is_for_good(&self) -> bool {
        match self {
            Self::Io(_) => false,
            Self::Status { status, .. } => matches!(status, 400..=499) && !matches!(status, 408 | 425 | 429),
        }
    }
}

/// What was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many arrived.
    pub arrived: usize,
    /// What was given up, for people: reports that were refused where newer ones were taken.
    pub dropped: Vec<String>,
}

/// A report couldn't be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum ReportsError {
    /// The disk.
    #[error(transparent)]
    Io(#[from] DurableError),
    /// The number of the newest report is damaged.
    #[error("{} is no number: remove it, and whoever reads the reports may take the next ones for old ones", .0.display())]
    Sequence(PathBuf),
    /// It can't be signed.
    #[error("sign the report")]
    Sign(#[from] SignatureError),
    /// Its key can't be unsealed.
    #[error("sign the report")]
    Key(#[from] DeviceKeyError),
    /// It didn't arrive.
    #[error("send the report; {waiting} wait, and are sent the next time")]
    Send {
        /// How many wait.
        waiting: usize,
        /// Why it didn't arrive.
        source: SinkError,
    },
    /// It didn't arrive, and isn't kept.
    #[error("send the report; there is no room in /var to keep it, and the next one is made anew")]
    Lost(#[source] SinkError),
}

/// A report that is signed.
#[derive(Debug)]
pub struct Kept {
    report: Report,
    /// As it is sent.
    pub bytes: Vec<u8>,
    /// Why it doesn't wait on the disk, if it doesn't: it is sent now or never.
    pub unsaved: Option<DurableError>,
}

/// The number of the next report. When this returns, no other has it.
///
/// # Errors
/// See [`ReportsError`].
pub fn next_sequence(state: &Path) -> Result<u64, ReportsError> {
    next_sequence_on(state, &DataPartition)
}

/// The same on a medium.
///
/// # Errors
/// As [`next_sequence`].
pub fn next_sequence_on(state: &Path, medium: &dyn Medium) -> Result<u64, ReportsError> {
    let path = state.join(FOLDER).join(SEQUENCE);
    let newest = match durable::read(&path)? {
        None => 0,
        Some(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            text.trim()
                .parse::<u64>()
                .map_err(|_| ReportsError::Sequence(path.clone()))?
        }
    };
    let next = newest.saturating_add(1);
    // All digits that a number may have: each is as long as the one before, and is written over it as a whole.
    let bytes = format!("{next:020}\n").into_bytes();
    match medium.replace(&path, &bytes) {
        // It has a block already, but for a device's first report.
        Err(error) if is_full(&error.source) && medium.overwrite(&path, &bytes).is_ok() => {}
        Err(error) if is_full(&error.source) && give_up_reserve(state) => medium.replace(&path, &bytes)?,
        replaced => replaced?,
    }
    Ok(next)
}

/// Signs a report, and keeps it until it is sent.
///
/// # Errors
/// See [`ReportsError`]; a full disk is none.
pub fn keep(state: &Path, key: &DeviceKey, report: Report) -> Result<Kept, ReportsError> {
    keep_on(state, key, report, &DataPartition)
}

/// The same on a medium.
///
/// # Errors
/// As [`keep`].
pub fn keep_on(
    state: &Path,
    key: &DeviceKey,
    report: Report,
    medium: &dyn Medium,
) -> Result<Kept, ReportsError> {
    let bytes = sign(key, &report)?;
    match medium.replace(&path(state, report.sequence), &bytes) {
        Err(error) if is_full(&error.source) => return unsaved(key, report, error),
        replaced => replaced?,
    }
    let waiting = waiting(state)?;
    for old in waiting.iter().take(waiting.len().saturating_sub(MOST_WAITING)) {
        durable::remove(&path(state, *old))?;
    }
    Ok(Kept {
        report,
        bytes,
        unsaved: None,
    })
}

/// A report that there is no room for says so, unless the agent has something else to tell.
fn unsaved(key: &DeviceKey, mut report: Report, error: DurableError) -> Result<Kept, ReportsError> {
    if let Some(standing) = report.agent.as_mut().filter(|standing| standing.reason.is_none()) {
        standing.reason = Some(Reason::Storage);
        standing.detail = Some("the data partition is full: make room in /var".to_owned());
    }
    Ok(Kept {
        bytes: sign(key, &report)?,
        report,
        unsaved: Some(error),
    })
}

fn sign(key: &DeviceKey, report: &Report) -> Result<Vec<u8>, ReportsError> {
    let document = report.to_bytes();
    let mut signatures = Signatures::default();
    signatures.add(Signature {
        key: *key.public(),
        bytes: key.sign(&signed_message(Purpose::Report, &document))?,
    })?;
    Ok(signed::join(&document, &signatures))
}

/// Sends what waits, and behind it a report that couldn't be kept: how many.
///
/// # Errors
/// As [`send_all`], and [`ReportsError::Lost`].
pub fn send_with(state: &Path, kept: &Kept, sink: &mut dyn Sink) -> Result<Sent, ReportsError> {
    let mut sent = send_all(state, sink)?;
    if kept.unsaved.is_none() {
        return Ok(sent);
    }
    sink.send(&kept.report, &kept.bytes).map_err(ReportsError::Lost)?;
    sent.arrived += 1;
    Ok(sent)
}

/// Sends what waits, oldest first. One that is refused for good keeps none behind it, and is dropped when a newer one was taken: before that, it may
/// be the server that is wrong.
///
/// # Errors
/// [`ReportsError::Send`] with the first that doesn't arrive, and what isn't sent waits; also when all were refused.
pub fn send_all(state: &Path, sink: &mut dyn Sink) -> Result<Sent, ReportsError> {
    let mut waiting = VecDeque::from(waiting(state)?);
    let (mut sent, mut refused) = (Sent::default(), Vec::new());
    while let Some(number) = waiting.pop_front() {
        let path = path(state, number);
        let bytes = durable::read(&path)?.unwrap_or_default();
        // What a damaged disk made of one is no report: nobody misses it.
        if let Ok(verified) = outcrop_release::report::verify_report(&bytes) {
            match sink.send(verified.report(), &bytes) {
                Ok(()) => {
                    sent.arrived += 1;
                    for (number, why) in refused.drain(..) {
                        sent.dropped.push(drop_refused(state, number, &why)?);
                    }
                }
                Err(source) if source.is_for_good() && refused.len() + 1 < MOST_REFUSED => {
                    refused.push((number, source));
                    continue;
                }
                Err(source) => return Err(not_sent(refused.len() + 1 + waiting.len(), source)),
            }
        }
        durable::remove(&path)?;
    }
    let left = refused.len();
    match refused.pop() {
        None => Ok(sent),
        Some((_, source)) => Err(not_sent(left, source)),
    }
}

const fn not_sent(waiting: usize, source: SinkError) -> ReportsError {
    ReportsError::Send { waiting, source }
}

fn drop_refused(state: &Path, number: u64, why: &SinkError) -> Result<String, DurableError> {
    durable::remove(&path(state, number))?;
    Ok(format!(
        "the report number {number} was refused, newer ones weren't, and it is dropped: {why}"
    ))
}

fn path(state: &Path, number: u64) -> PathBuf {
    state.join(FOLDER).join(format!("{number:0DIGITS$}.report"))
}

/// Numbers of the reports that wait, ascending.
fn waiting(state: &Path) -> Result<Vec<u64>, ReportsError> {
    let folder = state.join(FOLDER);
    let list = || -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".report"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    };
    list().map_err(|source| {
        DurableError {
            doing: "list",
            path: folder,
            source,
        }
        .into()
    })
}

/// A folder of reports: a stick's, or one that a server shares. Each device has a file, the newest report.
#[derive(Debug)]
pub struct FolderSink(pub PathBuf);

impl Sink for FolderSink {
    fn send(&mut self, report: &Report, bytes: &[u8]) -> Result<(), SinkError> {
        let replaced = durable::replace(&self.0.join(report.file_name()), bytes);
        Ok(replaced.map_err(|error| error.source)?)
    }
}

/// A web address that takes reports by POST.
#[derive(Debug)]
pub struct WebSink(pub String);

impl Sink for WebSink {
    fn send(&mut self, _: &Report, bytes: &[u8]) -> Result<(), SinkError> {
        let request = agent(TIMEOUTS)?
            .post(&self.0)
            .config()
            .max_redirects(0)
            .build()
            .header("Content-Type", "application/vnd.outcrop.report");
        let answer = request.send(bytes).map_err(ureq::Error::into_io)?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status => Err(SinkError::Status {
                url: self.0.clone(),
                status,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
