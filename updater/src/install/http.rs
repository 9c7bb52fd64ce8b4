//! A bundle on a web server: byte ranges, tries again, and takes up where a dropped link left off.

use std::{
    io::{self, Read},
    time::Duration,
};

use outcrop_release::plan::ByteRange;

use super::source::{Source, SourceError, Take};

/// Bytes that are handed over at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes that are read and dropped rather than asked for again.
const SKIP_BYTES: u64 = 1 << 20;
/// Requests in a row that may bring nothing.
const TRIES: u32 = 8;
/// The wait after the first of them; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An answer to a request for the bytes from some place on.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Range`.
    pub range: Option<String>,
    /// What tells this version of the file from others: a strong `ETag`, else `Last-Modified`.
    pub version: Option<String>,
    /// The body.
    pub body: Box<dyn Read>,
}

/// Asks a web server. Redirects are followed.
pub trait Server {
    /// Asks for the bytes from `start` on; with `end`, for no more than those before it.
    ///
    /// # Errors
    /// When no answer comes.
    fn get(&mut self, start: u64, end: Option<u64>) -> io::Result<Answer>;
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
}

/// A body that is being read.
struct Open {
    body: Box<dyn Read>,
    /// The place in the bundle where it goes on.
    at: u64,
    /// Where it ends, as far as the server has said.
    until: u64,
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
        }
    }

    /// A body that goes on at `at`: the open one if it is there or shortly before, else a new one.
    fn body(&mut self, at: u64, end: u64) -> Result<Open, Failure> {
        if let Some(mut open) = self.open.take().filter(|open| open.until >= end)
            && let Some(gap) = at.checked_sub(open.at)
            && (gap <= SKIP_BYTES || self.ignores_ranges)
        {
            self.skip(&mut open.body, gap)?;
            return Ok(Open { at, ..open });
        }
        let answer = self
            .server
            .get(at, (!self.ignores_ranges).then_some(end))
            .map_err(|error| Failure::Passing(error.to_string()))?;
        if matches!(answer.status, 200 | 206) {
            self.check_version(answer.version)?; // an error page has a version of its own
        }
        let mut body = answer.body;
        match answer.status {
            206 => match content_range(answer.range.as_deref()) {
                Some((start, until)) if start == at => {
                    self.ignores_ranges = false;
                    Ok(Open { body, at, until })
                }
                _ => Err(Failure::Passing(
                    "the server gave another range than it was asked for".to_owned(),
                )),
            },
            200 => {
                self.ignores_ranges = true;
                self.skip(&mut body, at)?;
                let until = u64::MAX;
                Ok(Open { body, at, until })
            }
            408 | 425 | 429 | 500..=599 => {
                Err(Failure::Passing(format!("the server answers {}", answer.status)))
            }
            status => Err(Failure::Lasting(SourceError::Status(status))),
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

/// First byte of a `Content-Range`, and the one behind its last: `bytes 100-199/200`. Source: RFC 9110, section 14.4.
fn content_range(text: Option<&str>) -> Option<(u64, u64)> {
    let (range, _) = text?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let (start, last): (u64, u64) = (start.trim().parse().ok()?, last.trim().parse().ok()?);
    Some((start, last.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A server that answers from a list, and then from the file.
    struct Scripted<'a> {
        file: Vec<u8>,
        answers: Vec<Misbehaviour>,
        asked: &'a RefCell<Vec<(u64, Option<u64>)>>,
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
    }

    impl Server for Scripted<'_> {
        fn get(&mut self, start: u64, end: Option<u64>) -> io::Result<Answer> {
            self.asked.borrow_mut().push((start, end));
            let what = if self.answers.is_empty() {
                Misbehaviour::None
            } else {
                self.answers.remove(0)
            };
            let from = usize::try_from(start).unwrap();
            let until = end.map_or(self.file.len(), |end| usize::try_from(end).unwrap());
            let answer = |status, range: Option<u64>, bytes: &[u8]| Answer {
                status,
                range: range.map(|start| format!("bytes {start}-{}/{}", until - 1, self.file.len())),
                version: Some("\"1\"".to_owned()),
                body: Box::new(io::Cursor::new(bytes.to_vec())),
            };
            Ok(match what {
                Misbehaviour::None => answer(206, Some(start), &self.file[from..until]),
                Misbehaviour::NoAnswer => return Err(io::ErrorKind::ConnectionRefused.into()),
                Misbehaviour::Status(status) => Answer {
                    version: Some("\"of the error page\"".to_owned()),
                    ..answer(status, None, b"<html>")
                },
                Misbehaviour::Whole => answer(200, None, &self.file),
                Misbehaviour::Cut(count) => answer(206, Some(start), &self.file[from..from + count]),
                Misbehaviour::Elsewhere => answer(206, Some(start + 1), &self.file[from + 1..until]),
                Misbehaviour::Changed => Answer {
                    version: Some("\"2\"".to_owned()),
                    ..answer(206, Some(start), &self.file[from..until])
                },
                Misbehaviour::Long => answer(206, Some(start), &self.file[from..]),
            })
        }
    }

    struct NoPause;

    impl Pause for NoPause {
        fn pause(&self, _: Duration) -> Result<(), SourceError> {
            Ok(())
        }
    }

    type Asked = Vec<(u64, Option<u64>)>;

    /// Reads ranges one after the other; the bytes, and what was asked for.
    fn read(answers: &[Misbehaviour], ranges: &[(u64, u64)]) -> (Result<Vec<Vec<u8>>, SourceError>, Asked) {
        let asked = RefCell::new(Vec::new());
        let server = Scripted {
            file: file(),
            answers: answers.to_vec(),
            asked: &asked,
        };
        let mut source = HttpSource::new(server, NoPause);
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
        assert_eq!(asked, [(500, Some(5000)), (1500, Some(5000))]);
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
