//! A bundle on a web server: byte ranges, several per request where the server can; tries again, and takes up where a dropped
//! link left off.

use std::{
    io::{self, BufReader, Read},
    time::Duration,
};

use outcrop_release::plan::ByteRange;

use super::{
    parts::{boundary, content_range, next_part},
    source::{Source, SourceError, Take},
};

/// Bytes that are handed over at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes that are read and dropped rather than asked for again.
const SKIP_BYTES: u64 = 1 << 20;
/// Ranges in a request: few enough for the longest line of a request that servers take.
const RANGES: usize = 64;
/// Bytes between two ranges that are fetched rather than asked for as a part of their own: its head is about as long.
const PART_BYTES: u64 = 256;
/// The same where each range is a request of its own.
const REQUEST_BYTES: u64 = 64 << 10;
/// Requests in a row that may bring nothing.
const TRIES: u32 = 8;
/// The wait after the first of them; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All bytes from a place on.
    From(u64),
    /// Ranges, ascending.
    Ranges(Vec<ByteRange>),
}

/// An answer to a request.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Range`.
    pub range: Option<String>,
    /// `Content-Type`
    pub content_type: Option<String>,
    /// What tells this version of the file from others: a strong `ETag`, else `Last-Modified`.
    pub version: Option<String>,
    /// The body.
    pub body: Box<dyn Read>,
}

/// Asks a web server. Redirects are followed.
pub trait Server {
    /// Asks for parts of the file.
    ///
    /// # Errors
    /// When no answer comes.
    fn get(&mut self, wanted: &Wanted) -> io::Result<Answer>;
}

/// Waits between tries.
pub trait Pause {
    /// Waits for `time`; less when it is asked to stop.
    ///
    /// # Errors
    /// When it is asked to stop.
    fn pause(&self, time: Duration) -> Result<(), SourceError>;
}

/// A bundle on a web server.
pub struct HttpSource<S, P> {
    server: S,
    pause: P,
    version: Option<String>,
    /// The body that is being read.
    open: Option<Open>,
    /// The server gives everything whatever it is asked for.
    ignores_ranges: bool,
    /// The server gives several ranges at a time, as far as is known.
    gives_several: bool,
    /// What will be asked for, ascending.
    upcoming: Vec<ByteRange>,
}

/// A body that is being read.
struct Open {
    body: BufReader<Box<dyn Read>>,
    /// The place in the bundle where it goes on.
    at: u64,
    /// Where it, or the part that is being read, ends, as far as the server has said.
    until: u64,
    /// What separates its parts, when it has some.
    boundary: Option<String>,
}

/// Why one try failed.
enum Failure {
    /// Another try may do better.
    Passing(String),
    /// No other try will.
    Lasting(SourceError),
}

impl<S: Server, P: Pause> HttpSource<S, P> {
    /// A bundle that `server` has.
    pub const fn new(server: S, pause: P) -> Self {
        Self {
            server,
            pause,
            version: None,
            open: None,
            ignores_ranges: false,
            gives_several: true,
            upcoming: Vec::new(),
        }
    }

    /// What to ask for: up to `end`, and as much of what comes then as fits.
    fn wanted(&self, at: u64, end: u64) -> Wanted {
        if self.ignores_ranges {
            return Wanted::From(at);
        }
        let gap = if self.gives_several {
            PART_BYTES
        } else {
            REQUEST_BYTES
        };
        let mut last = ByteRange { start: at, end };
        let mut ranges = Vec::new();
        let first = self.upcoming.partition_point(|range| range.start < end);
        for range in self.upcoming.iter().skip(first) {
            if range.start.saturating_sub(last.end) <= gap {
                last.end = range.end.max(last.end);
            } else if self.gives_several && ranges.len() + 1 < RANGES {
                ranges.push(last);
                last = *range;
            } else {
                break;
            }
        }
        ranges.push(last);
        Wanted::Ranges(ranges)
    }

    /// A body that goes on at `at`: the open one if it is there or gets there, else a new one.
    fn body(&mut self, at: u64, end: u64) -> Result<Open, Failure> {
        if let Some(open) = self.open.take()
            && let Some(open) = self.advanced(open, at, end)?
        {
            return Ok(open);
        }
        let wanted = self.wanted(at, end);
        let several = match &wanted {
            Wanted::Ranges(ranges) if ranges.len() > 1 => ranges.last().map(|last| last.end),
            _ => None,
        };
        let answer = self
            .server
            .get(&wanted)
            .map_err(|error| Failure::Passing(error.to_string()))?;
        if several.is_some() && matches!(answer.status, 200 | 400 | 416 | 431 | 501) {
            // It can't, or won't: everything instead of a few ranges would be a bad bargain.
            self.gives_several = false;
            return self.body(at, end);
        }
        if matches!(answer.status, 200 | 206) {
            self.check_version(answer.version)?; // an error page has a version of its own
        }
        let mut body = BufReader::with_capacity(PIECE_BYTES, answer.body);
        match answer.status {
            206 => {
                let (range, content_type) = (answer.range.as_deref(), answer.content_type.as_deref());
                let open = self.partial(body, range, content_type, (at, end))?;
                if open.boundary.is_none() && several.is_some_and(|last| open.until < last) {
                    self.gives_several = false;
                }
                Ok(open)
            }
            200 => {
                self.ignores_ranges = true;
                self.skip(&mut body, at)?;
                let (until, boundary) = (u64::MAX, None);
                Ok(Open {
                    body,
                    at,
                    until,
                    boundary,
                })
            }
            408 | 425 | 429 | 500..=599 => {
                Err(Failure::Passing(format!("the server answers {}", answer.status)))
            }
            status => Err(Failure::Lasting(SourceError::Status(status))),
        }
    }

    /// The body of an answer with one range, or with several.
    fn partial(
        &mut self,
        body: BufReader<Box<dyn Read>>,
        range: Option<&str>,
        content_type: Option<&str>,
        (at, end): (u64, u64),
    ) -> Result<Open, Failure> {
        let elsewhere = || Failure::Passing("the server gave another range than it was asked for".to_owned());
        self.ignores_ranges = false;
        if let Some(boundary) = content_type.and_then(boundary) {
            let open = Open {
                body,
                at: 0,
                until: 0,
                boundary: Some(boundary),
            };
            let open = self.advanced(open, at, end)?;
            // Parts in another order, or not those that were asked for: one at a time, then.
            self.gives_several = open.is_some();
            return open.ok_or_else(elsewhere);
        }
        match range.and_then(content_range) {
            Some((start, until)) if start == at => Ok(Open {
                body,
                at,
                until,
                boundary: None,
            }),
            _ => Err(elsewhere()),
        }
    }

    /// Reads on in a body up to `at`, in this part or the next one. None when it doesn't get there, or isn't worth reading so far.
    fn advanced(&self, mut open: Open, at: u64, end: u64) -> Result<Option<Open>, Failure> {
        loop {
            if open.until >= end {
                let Some(gap) = at.checked_sub(open.at) else {
                    return Ok(None);
                };
                if gap > SKIP_BYTES && !self.ignores_ranges {
                    return Ok(None);
                }
                self.skip(&mut open.body, gap)?;
                return Ok(Some(Open { at, ..open }));
            }
            let rest = open.until - open.at;
            let Some(boundary) = open.boundary.as_deref().filter(|_| rest <= SKIP_BYTES) else {
                return Ok(None);
            };
            self.skip(&mut open.body, rest)?;
            match next_part(&mut open.body, boundary) {
                Ok(Some((start, until))) if start >= open.at => (open.at, open.until) = (start, until),
                // The last part, or one before the other: another request finds the rest.
                Ok(_) => return Ok(None),
                Err(error) => return Err(Failure::Passing(error.to_string())),
            }
        }
    }

    /// Reads and drops `count` bytes; may be stopped meanwhile.
    fn skip(&self, body: &mut dyn Read, mut count: u64) -> Result<(), Failure> {
        while count > 0 {
            self.pause.pause(Duration::ZERO).map_err(Failure::Lasting)?;
            let piece = count.min(SKIP_BYTES);
            match io::copy(&mut body.take(piece), &mut io::sink()) {
                Ok(skipped) if skipped == piece => count -= piece,
                Ok(_) => return Err(Failure::Passing("the server ended its answer early".to_owned())),
                Err(error) => return Err(Failure::Passing(error.to_string())),
            }
        }
        Ok(())
    }

    /// Every answer must be of the same version of the file.
    fn check_version(&mut self, version: Option<String>) -> Result<(), Failure> {
        match (&self.version, version) {
            (Some(first), Some(now)) if *first != now => Err(Failure::Lasting(SourceError::Changed)),
            (None, Some(now)) => {
                self.version = Some(now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Reads up to `end`, as far as one answer goes; where it got to.
    fn some<E: From<SourceError>>(
        &mut self,
        mut at: u64,
        end: u64,
        take: &mut Take<'_, E>,
    ) -> (u64, Result<Result<(), Failure>, E>) {
        let mut open = match self.body(at, end) {
            Ok(open) => open,
            Err(failure) => return (at, Ok(Err(failure))),
        };
        let mut buffer = vec![0; PIECE_BYTES];
        while at < end {
            let wanted = usize::try_from(end - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            let count = match open.body.read(piece) {
                Ok(0) => {
                    let failure = Failure::Passing("the server ended its answer early".to_owned());
                    return (at, Ok(Err(failure)));
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return (at, Ok(Err(Failure::Passing(error.to_string())))),
            };
            if let Err(error) = take(piece.get(..count).unwrap_or_default()) {
                return (at, Err(error));
            }
            at += count as u64;
        }
        self.open = Some(Open { at, ..open });
        (at, Ok(Ok(())))
    }
}

impl<S: Server, P: Pause> Source for HttpSource<S, P> {
    fn announce(&mut self, ranges: &[ByteRange]) {
        self.upcoming = ranges.to_vec();
    }

    fn read<E: From<SourceError>>(&mut self, range: ByteRange, mut take: Take<'_, E>) -> Result<(), E> {
        let (mut at, mut fruitless) = (range.start, 0);
        while at < range.end {
            let (now, ended) = self.some(at, range.end, &mut take);
            let why = match ended? {
                Ok(()) => return Ok(()),
                Err(Failure::Lasting(error)) => return Err(error.into()),
                Err(Failure::Passing(why)) => why,
            };
            fruitless = if now > at { 1 } else { fruitless + 1 };
            at = now;
            if fruitless >= TRIES {
                return Err(SourceError::Server { tries: TRIES, why }.into());
            }
            self.pause.pause(wait(fruitless))?;
        }
        Ok(())
    }
}

fn wait(fruitless: u32) -> Duration {
    let doublings = fruitless.saturating_sub(1).min(6);
    FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
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
        // More than a request may have.
        let many: Vec<(u64, u64)> = (0..200)
            .map(|number| (number * 2000, number * 2000 + 10))
            .collect();
        let (read, asked) = read_announced(&[], &many, &many);
        assert!(read.unwrap() == parts(&many));
        assert_eq!(asked.len(), 200_usize.div_ceil(RANGES));
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
}
