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
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use outcrop_release::{
        agent::Waits,
        digest::FileDigest,
        report::{Health, Standing, verify_report},
    };

    use super::*;
    use crate::{
        testing::{full_disk::FullDisk, tls},
        tpm::NoTpm,
    };

    struct Fixture {
        state: tempfile::TempDir,
        key: DeviceKey,
        disk: FullDisk,
    }

    impl Fixture {
        fn new() -> Self {
            let state = tempfile::tempdir().unwrap();
            let key = DeviceKey::of(state.path(), NoTpm).unwrap();
            let disk = FullDisk::new(state.path());
            Self { state, key, disk }
        }

        fn make(&self) -> Kept {
            let sequence = next_sequence_on(self.state.path(), &self.disk).unwrap();
            let report = Report {
                key: *self.key.public(),
                sequence,
                at: "2026-11-30T12:00:00Z".parse().unwrap(),
                hostname: None,
                labels: Default::default(),
                running: outcrop_release::name::ReleaseName {
                    image: "edge".parse().unwrap(),
                    version: "1.1.0".parse().unwrap(),
                    architecture: "x86_64".parse().unwrap(),
                    board: "efi".parse().unwrap(),
                },
                manifest: FileDigest::of(b"x"),
                slot: "a".to_owned(),
                channel: None,
                last: None,
                health: Health::Healthy,
                agent: Some(Standing {
                    waits: Waits::News,
                    version: None,
                    reason: None,
                    detail: None,
                }),
                drift: None,
                history: None,
            };
            keep_on(self.state.path(), &self.key, report, &self.disk).unwrap()
        }

        /// Fills the disk to the last block, the history's reserve included or not.
        fn fill(&self, has_reserve: bool) -> PathBuf {
            let reserve = self.state.path().join("history/reserve");
            if has_reserve {
                fs::create_dir(reserve.parent().unwrap()).unwrap();
                fs::write(&reserve, [0xff; 64 << 10]).unwrap();
            }
            self.disk.leave(0);
            reserve
        }
    }

    /// Takes reports until it has `room` for no more.
    #[derive(Default)]
    struct Taking {
        taken: Vec<u64>,
        room: usize,
        /// Those that it doesn't take, and what it says then.
        refused: Vec<u64>,
        status: u16,
    }

    impl Sink for Taking {
        fn send(&mut self, report: &Report, bytes: &[u8]) -> Result<(), SinkError> {
            assert_eq!(verify_report(bytes).unwrap().report(), report);
            if self.taken.len() == self.room {
                return Err(io::Error::from(io::ErrorKind::NotConnected).into());
            }
            if self.refused.contains(&report.sequence) {
                return Err(SinkError::Status {
                    url: "https://fleet.example/reports".to_owned(),
                    status: self.status,
                });
            }
            self.taken.push(report.sequence);
            Ok(())
        }
    }

    #[test]
    fn reports_wait_while_nobody_takes_them_and_go_in_their_order() {
        let fixture = Fixture::new();
        for _ in 0..3 {
            fixture.make();
        }
        let mut sink = Taking {
            room: 1,
            ..Taking::default()
        };
        let error = send_all(fixture.state.path(), &mut sink).unwrap_err();
        assert!(matches!(error, ReportsError::Send { waiting: 2, .. }), "{error}");
        fixture.make();
        sink.room = 9;
        assert_eq!(send_all(fixture.state.path(), &mut sink).unwrap().arrived, 3);
        assert_eq!(sink.taken, [1, 2, 3, 4]);
        assert_eq!(
            send_all(fixture.state.path(), &mut sink).unwrap(),
            Sent::default()
        );
    }

    #[test]
    fn on_a_full_disk_reports_go_out_with_rising_numbers_and_say_why_and_none_waits() {
        let fixture = Fixture::new();
        fixture.make();
        let reserve = fixture.fill(true);
        let mut sink = Taking {
            room: 9,
            ..Taking::default()
        };
        for _ in 0..3 {
            let kept = fixture.make();
            assert!(kept.unsaved.is_some());
            let report = verify_report(&kept.bytes).unwrap().into_report();
            assert_eq!(report.agent.unwrap().reason, Some(Reason::Storage));
            send_with(fixture.state.path(), &kept, &mut sink).unwrap();
            // Somebody takes the room of what has gone.
            fixture.disk.leave(0);
        }
        assert_eq!(sink.taken, [1, 2, 3, 4], "what waited goes first");
        assert_eq!(waiting(fixture.state.path()).unwrap(), [0; 0]);
        assert!(reserve.exists(), "the history needs it more");
        // One that doesn't arrive either is told, and its number isn't used again.
        sink.room = 4;
        let lost = send_with(fixture.state.path(), &fixture.make(), &mut sink).unwrap_err();
        assert!(matches!(lost, ReportsError::Lost(_)), "{lost}");
        fixture.disk.leave(1 << 20);
        sink.room = 9;
        let kept = fixture.make();
        assert!(kept.unsaved.is_none());
        let sent = send_with(fixture.state.path(), &kept, &mut sink).unwrap();
        assert_eq!(sent.arrived, 1);
        assert_eq!(sink.taken, [1, 2, 3, 4, 6]);
    }

    #[test]
    fn the_first_number_of_a_device_whose_disk_is_full_gets_the_history_s_reserve() {
        let fixture = Fixture::new();
        let reserve = fixture.fill(true);
        let number = || next_sequence_on(fixture.state.path(), &fixture.disk);
        assert_eq!((number().unwrap(), number().unwrap()), (1, 2));
        assert!(!reserve.exists());
        let without = Fixture::new();
        without.fill(false);
        assert!(matches!(
            next_sequence_on(without.state.path(), &without.disk),
            Err(ReportsError::Io(_))
        ));
    }

    #[test]
    fn a_report_that_is_refused_for_good_keeps_none_behind_it_and_goes_when_a_newer_one_is_taken() {
        for (status, is_for_good) in [(400, true), (422, true), (408, false), (429, false), (503, false)] {
            let fixture = Fixture::new();
            for _ in 0..3 {
                fixture.make();
            }
            let mut sink = Taking {
                room: 9,
                refused: vec![1],
                status,
                ..Taking::default()
            };
            let sent = send_all(fixture.state.path(), &mut sink);
            if is_for_good {
                let sent = sent.unwrap();
                assert_eq!(sent.arrived, 2);
                assert!(
                    sent.dropped[0].contains("number 1")
                        && sent.dropped[0].contains("400") == (status == 400)
                );
                assert_eq!(waiting(fixture.state.path()).unwrap(), [0; 0]);
            } else {
                assert!(matches!(sent, Err(ReportsError::Send { waiting: 3, .. })));
                assert_eq!(waiting(fixture.state.path()).unwrap(), [1, 2, 3]);
            }
        }
    }

    #[test]
    fn a_server_that_refuses_every_report_costs_none_and_is_asked_a_few_times() {
        let fixture = Fixture::new();
        for (more, made) in [(2, 2), (8, 10)] {
            for _ in 0..more {
                fixture.make();
            }
            let mut sink = Taking {
                room: 9,
                refused: (1..=10).collect(),
                status: 404,
                ..Taking::default()
            };
            let error = send_all(fixture.state.path(), &mut sink).unwrap_err();
            assert!(
                matches!(error, ReportsError::Send { waiting, .. } if waiting == made),
                "{error}"
            );
            assert_eq!(waiting(fixture.state.path()).unwrap().len(), made);
            // When it is mended, all go.
            if made == 10 {
                sink.refused.clear();
                sink.room = 99;
                assert_eq!(send_all(fixture.state.path(), &mut sink).unwrap().arrived, 10);
            }
        }
    }

    #[test]
    fn of_too_many_that_wait_the_newest_are_kept() {
        let fixture = Fixture::new();
        for _ in 0..40 {
            fixture.make();
        }
        let mut sink = Taking {
            room: 99,
            ..Taking::default()
        };
        send_all(fixture.state.path(), &mut sink).unwrap();
        assert_eq!(sink.taken, (9..=40).collect::<Vec<u64>>());
    }

    #[test]
    fn a_damaged_report_is_dropped_and_a_damaged_number_is_told() {
        let fixture = Fixture::new();
        fixture.make();
        fs::write(path(fixture.state.path(), 1), "damaged").unwrap();
        fixture.make();
        let mut sink = Taking {
            room: 9,
            ..Taking::default()
        };
        send_all(fixture.state.path(), &mut sink).unwrap();
        assert_eq!(sink.taken, [2]);
        fs::write(fixture.state.path().join("reports/sequence"), "x").unwrap();
        assert!(matches!(
            next_sequence(fixture.state.path()),
            Err(ReportsError::Sequence(_))
        ));
    }

    #[test]
    fn a_folder_has_the_newest_report_of_each_device() {
        let fixture = Fixture::new();
        let folder = tempfile::tempdir().unwrap();
        fixture.make();
        fixture.make();
        send_all(fixture.state.path(), &mut FolderSink(folder.path().to_owned())).unwrap();
        let files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1);
        let report = verify_report(&fs::read(&files[0]).unwrap())
            .unwrap()
            .into_report();
        assert_eq!(report.sequence, 2);
    }

    #[test]
    fn a_server_gets_the_bytes_and_its_refusal_keeps_them() {
        for (status, arrives) in [
            ("204 No Content", true),
            ("500 Oops", false),
            ("302 Found\r\nLocation: /x", false),
        ] {
            let fixture = Fixture::new();
            fixture.make();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://127.0.0.1:{}/r", listener.local_addr().unwrap().port());
            let thread = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                        length = text.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
                body
            });
            let sent = send_all(fixture.state.path(), &mut WebSink(url));
            assert_eq!(sent.is_ok(), arrives, "{status}");
            assert!(verify_report(&thread.join().unwrap()).is_ok());
            assert_eq!(waiting(fixture.state.path()).unwrap().is_empty(), arrives);
        }
    }
    #[test]
    fn a_report_isn_t_shown_to_a_server_whose_certificate_nobody_vouches_for() {
        let fixture = Fixture::new();
        fixture.make();
        let (certificate, key) = tls::identity([2000, 4000]);
        let (port, server) = tls::serve(certificate, &key, "HTTP/1.1 204 No Content\r\n\r\n");
        let mut sink = WebSink(format!("https://127.0.0.1:{port}/r"));
        let error = send_all(fixture.state.path(), &mut sink).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("certificate"), "{why}");
        assert_eq!(server.join().unwrap(), "", "nothing was told to it");
        assert_eq!(waiting(fixture.state.path()).unwrap(), [1]);
    }
}
