//! Reports on their way: made, kept until they are sent, and sent in their order.
//!
//! `/var/lib/outcrop/reports/NNNNNNNNNN.report` are those that wait; `sequence` beside them is the number of the newest, so that none is used
//! twice.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use outcrop_release::{
    report::Report,
    signed,
    trust::{Purpose, Signature, SignatureError, Signatures, signed_message},
};

use crate::{
    device_key::{DeviceKey, DeviceKeyError},
    durable::{self, DurableError},
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

/// Where reports go.
pub trait Sink {
    /// Hands a report over. When this returns, it needn't be kept.
    ///
    /// # Errors
    /// When it didn't arrive.
    fn send(&mut self, report: &Report, bytes: &[u8]) -> io::Result<()>;
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
        source: io::Error,
    },
}

/// The number of the next report. When this returns, no other has it.
///
/// # Errors
/// See [`ReportsError`].
pub fn next_sequence(state: &Path) -> Result<u64, ReportsError> {
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
    durable::replace(&path, format!("{next}\n").as_bytes())?;
    Ok(next)
}

/// Signs a report, and keeps it until it is sent.
///
/// # Errors
/// See [`ReportsError`].
pub fn keep(state: &Path, key: &DeviceKey, report: &Report) -> Result<Vec<u8>, ReportsError> {
    let document = report.to_bytes();
    let mut signatures = Signatures::default();
    signatures.add(Signature {
        key: *key.public(),
        bytes: key.sign(&signed_message(Purpose::Report, &document))?,
    })?;
    let bytes = signed::join(&document, &signatures);
    durable::replace(&path(state, report.sequence), &bytes)?;
    let waiting = waiting(state)?;
    for old in waiting.iter().take(waiting.len().saturating_sub(MOST_WAITING)) {
        durable::remove(&path(state, *old))?;
    }
    Ok(bytes)
}

/// Sends what waits, oldest first: how many.
///
/// # Errors
/// [`ReportsError::Send`] with the first that doesn't arrive; it and those behind it wait.
pub fn send_all(state: &Path, sink: &mut dyn Sink) -> Result<usize, ReportsError> {
    let waiting = waiting(state)?;
    for (sent, number) in waiting.iter().enumerate() {
        let path = path(state, *number);
        let bytes = durable::read(&path)?.unwrap_or_default();
        // What a damaged disk made of one is no report: nobody misses it.
        if let Ok(verified) = outcrop_release::report::verify_report(&bytes) {
            sink.send(verified.report(), &bytes)
                .map_err(|source| ReportsError::Send {
                    waiting: waiting.len() - sent,
                    source,
                })?;
        }
        durable::remove(&path)?;
    }
    Ok(waiting.len())
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
    fn send(&mut self, report: &Report, bytes: &[u8]) -> io::Result<()> {
        durable::replace(&self.0.join(report.file_name()), bytes).map_err(|error| error.source)
    }
}

/// A web address that takes reports by POST.
#[derive(Debug)]
pub struct WebSink(pub String);

impl Sink for WebSink {
    fn send(&mut self, _: &Report, bytes: &[u8]) -> io::Result<()> {
        let request = agent(TIMEOUTS)?
            .post(&self.0)
            .config()
            .max_redirects(0)
            .build()
            .header("Content-Type", "application/vnd.outcrop.report");
        let answer = request.send(bytes).map_err(ureq::Error::into_io)?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status => Err(io::Error::other(format!(
                "{} answers with status {status}",
                self.0
            ))),
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
        digest::FileDigest,
        report::{Health, verify_report},
    };

    use super::*;
    use crate::{testing::tls, tpm::NoTpm};

    struct Fixture {
        state: tempfile::TempDir,
        key: DeviceKey,
    }

    impl Fixture {
        fn new() -> Self {
            let state = tempfile::tempdir().unwrap();
            let key = DeviceKey::of(state.path(), NoTpm).unwrap();
            Self { state, key }
        }

        fn make(&self) -> u64 {
            let sequence = next_sequence(self.state.path()).unwrap();
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
                agent: None,
                drift: None,
                history: None,
            };
            keep(self.state.path(), &self.key, &report).unwrap();
            sequence
        }
    }

    /// Takes reports until it has `room` for no more.
    struct Taking {
        taken: Vec<u64>,
        room: usize,
    }

    impl Sink for Taking {
        fn send(&mut self, report: &Report, bytes: &[u8]) -> io::Result<()> {
            assert_eq!(verify_report(bytes).unwrap().report(), report);
            if self.taken.len() == self.room {
                return Err(io::ErrorKind::NotConnected.into());
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
            taken: Vec::new(),
            room: 1,
        };
        let error = send_all(fixture.state.path(), &mut sink).unwrap_err();
        assert!(matches!(error, ReportsError::Send { waiting: 2, .. }), "{error}");
        fixture.make();
        sink.room = 9;
        assert_eq!(send_all(fixture.state.path(), &mut sink).unwrap(), 3);
        assert_eq!(sink.taken, [1, 2, 3, 4]);
        assert_eq!(send_all(fixture.state.path(), &mut sink).unwrap(), 0);
    }

    #[test]
    fn of_too_many_that_wait_the_newest_are_kept() {
        let fixture = Fixture::new();
        for _ in 0..40 {
            fixture.make();
        }
        let mut sink = Taking {
            taken: Vec::new(),
            room: 99,
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
            taken: Vec::new(),
            room: 9,
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
