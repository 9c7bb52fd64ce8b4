use std::cell::RefCell;

use super::*;

/// A server that answers from a list, and then from the file.
struct Scripted<'a> {
    file: Vec<u8>,
    answers: Vec<Misbehaviour>,
    asked: &'a RefCell<Asked>,
}

#[derive(Clone, Copy)]
enum Misbehaviour {
    None,
    NoAnswer,
    Status(u16),
    /// Everything, whatever was asked.
    Whole,
    /// So many bytes of what was asked for.
    Cut(usize),
    /// Another range than asked for.
    Elsewhere,
    /// Another version of the file.
    Changed,
    /// More bytes than asked for.
    Long,
    /// The first of the ranges that were asked for.
    First,
    /// The last part first.
    Reordered,
    /// One part with all that lies between the ranges.
    Coalesced,
    /// A web page of so many bytes.
    Page(usize),
}

impl Scripted<'_> {
    fn bytes(&self, start: u64, end: u64) -> &[u8] {
        &self.file[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]
    }

    fn of_parts(&self, ranges: impl Iterator<Item = ByteRange>) -> Answer {
        let mut body = Vec::new();
        for ByteRange { start, end } in ranges {
            let last = end - 1;
            let head = format!("\r\n--b\r\nContent-Range: bytes {start}-{last}/4000000\r\n\r\n");
            body.extend(head.into_bytes());
            body.extend(self.bytes(start, end));
        }
        body.extend(b"\r\n--b--\r\n");
        Answer {
            status: 206,
            range: None,
            content_type: Some("multipart/byteranges; boundary=b".to_owned()),
            version: Some("\"1\"".to_owned()),
            body: Box::new(io::Cursor::new(body)),
        }
    }
}

impl Server for Scripted<'_> {
    fn get(&mut self, wanted: &Wanted) -> io::Result<Answer> {
        self.asked.borrow_mut().push(wanted.clone());
        let what = if self.answers.is_empty() {
            Misbehaviour::None
        } else {
            self.answers.remove(0)
        };
        let all = self.file.len() as u64;
        let ranges = match wanted {
            Wanted::From(start) => vec![range(*start, all)],
            Wanted::Ranges(ranges) => ranges.clone(),
        };
        let (first, last) = (ranges[0], *ranges.last().unwrap());
        let answer = |status, start: Option<u64>, bytes: &[u8]| Answer {
            status,
            range: start.map(|start| format!("bytes {start}-{}/{all}", first.end - 1)),
            content_type: None,
            version: Some("\"1\"".to_owned()),
            body: Box::new(io::Cursor::new(bytes.to_vec())),
        };
        let (start, asked) = (Some(first.start), self.bytes(first.start, first.end));
        Ok(match what {
            Misbehaviour::None if ranges.len() > 1 => self.of_parts(ranges.into_iter()),
            Misbehaviour::Reordered => self.of_parts(ranges.into_iter().rev()),
            Misbehaviour::Coalesced => self.of_parts([range(first.start, last.end)].into_iter()),
            Misbehaviour::Cut(count) if ranges.len() > 1 => {
                let whole = self.of_parts(ranges.into_iter());
                let body = Box::new(whole.body.take(count as u64));
                Answer { body, ..whole }
            }
            Misbehaviour::None | Misbehaviour::First => answer(206, start, asked),
            Misbehaviour::NoAnswer => return Err(io::ErrorKind::ConnectionRefused.into()),
            Misbehaviour::Status(status) => Answer {
                version: Some("\"of the error page\"".to_owned()),
                ..answer(status, None, b"<html>")
            },
            Misbehaviour::Whole => answer(200, None, &self.file),
            Misbehaviour::Cut(count) => answer(206, start, &asked[..count.min(asked.len())]),
            Misbehaviour::Elsewhere => answer(206, Some(first.start + 1), &asked[1..]),
            Misbehaviour::Changed => Answer {
                version: Some("\"2\"".to_owned()),
                ..answer(206, start, asked)
            },
            Misbehaviour::Page(bytes) => Answer {
                content_type: Some("Text/HTML; charset=utf-8".to_owned()),
                ..answer(200, None, &vec![b' '; bytes])
            },
            Misbehaviour::Long => answer(206, start, self.bytes(first.start, all)),
        })
    }
}

const fn range(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

struct NoPause;

impl Pause for NoPause {
    fn pause(&self, _: Duration) -> Result<(), SourceError> {
        Ok(())
    }
}

type Asked = Vec<Wanted>;

/// Reads ranges that nobody announced.
fn read(answers: &[Misbehaviour], ranges: &[(u64, u64)]) -> (Result<Vec<Vec<u8>>, SourceError>, Asked) {
    read_announced(answers, ranges, &[])
}

/// Reads ranges one after the other; the bytes, and what was asked for.
fn read_announced(
    answers: &[Misbehaviour],
    ranges: &[(u64, u64)],
    announced: &[(u64, u64)],
) -> (Result<Vec<Vec<u8>>, SourceError>, Asked) {
    let asked = RefCell::new(Vec::new());
    let server = Scripted {
        file: file(),
        answers: answers.to_vec(),
        asked: &asked,
    };
    let mut source = HttpSource::new(server, NoPause);
    let announced: Vec<ByteRange> = announced.iter().map(|&(start, end)| range(start, end)).collect();
    source.announce(&announced);
    let read = ranges.iter().map(|&(start, end)| {
        let mut bytes = Vec::new();
        source.read::<SourceError>(ByteRange { start, end }, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    });
    let read = read.collect();
    drop(source);
    (read, asked.into_inner())
}

fn file() -> Vec<u8> {
    (0..4_000_000_u32)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect()
}

fn parts(ranges: &[(u64, u64)]) -> Vec<Vec<u8>> {
    let part = |&(start, end): &(u64, u64)| {
        file()[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()].to_vec()
    };
    ranges.iter().map(part).collect()
}

#[test]
fn ranges_are_read_and_what_passes_is_tried_again() {
    use Misbehaviour::{Cut, Elsewhere, Long, NoAnswer, None, Status};
    let ranges = [(100, 300_000), (2_000_000, 3_000_000)];
    for answers in [
        &[][..],
        &[NoAnswer, Status(500), None, Status(503), NoAnswer],
        &[Cut(10), Cut(0), Cut(200_000), None, Cut(1)],
        &[Elsewhere, Elsewhere, None],
        &[Long, Long],
        &[Status(503), None, Status(429)],
    ] {
        let (read, _) = read(answers, &ranges);
        assert!(read.unwrap() == parts(&ranges));
    }
    // 500 at every second request.
    let every_second: Vec<_> = [Status(500), Cut(100_000)].into_iter().cycle().take(60).collect();
    assert!(read(&every_second, &ranges).0.unwrap() == parts(&ranges));
}

#[test]
fn a_dropped_link_goes_on_at_the_byte_that_is_missing() {
    let (read, asked) = read(&[Misbehaviour::Cut(1000)], &[(500, 5000)]);
    assert!(read.unwrap() == parts(&[(500, 5000)]));
    let wanted = |start| Wanted::Ranges(vec![range(start, 5000)]);
    assert_eq!(asked, [wanted(500), wanted(1500)]);
}

/// Ranges with gaps of every size; all are announced.
const SEVERAL: [(u64, u64); 6] = [
    (100, 2000),
    (2100, 3000),
    (10_000, 20_000),
    (1_500_000, 1_600_000),
    (1_700_000, 1_700_001),
    (3_900_000, 4_000_000),
];

#[test]
fn announced_ranges_come_in_one_answer_where_the_server_can() {
    let (read, asked) = read_announced(&[], &SEVERAL, &SEVERAL);
    assert!(read.unwrap() == parts(&SEVERAL));
    let [Wanted::Ranges(ranges)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(ranges.len(), 5, "the gap of 100 bytes is fetched: {ranges:?}");
    // More than a request may have; with a few of the gaps between them, it is one request fewer.
    let many: Vec<(u64, u64)> = (0..200)
        .map(|number| (number * 2000, number * 2000 + 10))
        .collect();
    let (read, asked) = read_announced(&[], &many, &many);
    assert!(read.unwrap() == parts(&many));
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_server_that_can_t_give_several_ranges_is_asked_for_one_at_a_time() {
    use Misbehaviour::{Coalesced, Cut, First, Reordered, Status, Whole};
    // The first three lie close together.
    for (answers, requests) in [
        (&[First][..], 5),
        (&[Status(400)], 5),
        (&[Status(416)], 5),
        (&[Whole], 5),
        (&[Reordered], 5),
        // More than a MiB that nobody wants isn't read.
        (&[Coalesced], 2),
        (&[Cut(0)], 2),
        (&[Cut(10)], 2),
        (&[Cut(1000), Cut(20_000)], 3),
        // No ranges at all: twice asked, once read.
        (&[Whole, Whole], 2),
    ] {
        let (read, asked) = read_announced(answers, &SEVERAL, &SEVERAL);
        assert!(read.unwrap() == parts(&SEVERAL));
        assert_eq!(asked.len(), requests, "{asked:?}");
    }
}

#[test]
fn a_server_that_ignores_ranges_is_read_once_from_its_beginning_to_its_end() {
    let ranges = [(100, 2000), (1_500_000, 1_600_000), (3_900_000, 4_000_000)];
    let (read, asked) = read(&[Misbehaviour::Whole], &ranges);
    assert!(read.unwrap() == parts(&ranges));
    assert_eq!(asked.len(), 1);
}

#[test]
fn a_file_that_changes_midway_or_isn_t_there_ends_the_installation() {
    let ranges = [(0, 100), (3_000_000, 3_000_100)];
    let (changed, _) = read(&[Misbehaviour::None, Misbehaviour::Changed], &ranges);
    assert!(matches!(changed, Err(SourceError::Changed)), "{changed:?}");
    let (absent, asked) = read(&[Misbehaviour::Status(404)], &ranges);
    assert!(matches!(absent, Err(SourceError::Status(404))), "{absent:?}");
    assert_eq!(asked.len(), 1);
}

#[test]
fn a_web_page_in_the_place_of_a_bundle_is_told_as_such_however_long_it_is_and_whenever_it_comes() {
    use Misbehaviour::{None, Page};
    let ranges = [(0, 4096), (3_000_000, 3_000_100)];
    for answers in [&[Page(10)][..], &[Page(5_000_000)], &[None, Page(100_000)]] {
        for announced in [&[][..], &ranges] {
            let (read, asked) = read_announced(answers, &ranges, announced);
            // Both ranges come in one answer, where they are announced.
            if answers.len() > asked.len() {
                assert!(read.unwrap() == parts(&ranges));
                continue;
            }
            assert!(matches!(read, Err(SourceError::WebPage)), "{read:?}");
            assert_eq!(asked.len(), answers.len());
        }
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_and_waits_grow() {
    let (read, asked) = read(&[Misbehaviour::NoAnswer; 20], &[(0, 100)]);
    assert!(
        matches!(read, Err(SourceError::Server { tries: TRIES, .. })),
        "{read:?}"
    );
    assert_eq!(asked.len(), TRIES as usize);
    let waits: Vec<u64> = (1..=8).map(|count| wait(count).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}
