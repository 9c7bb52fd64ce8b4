//! Reports that wait, are refused, find no room, and nobody to send them to.

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
                sent.dropped[0].contains("number 1") && sent.dropped[0].contains("400") == (status == 400)
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
