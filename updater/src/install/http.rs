//! A bundle on a web server: byte ranges, several per request where the server can; tries again, and takes up where a dropped
//! link left off.

use std::{
    io::{self, BufReader, Read},
    time::Duration,
};

use outcrop_release::plan::{ByteRange, Overheads, requests};

use super::{
    parts::{boundary, content_range, next_part},
    source::{Source, SourceError, Take},
};

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

impl Answer {
    /// Whether it is for people to look at, as a captive portal's: no bundle is served as such.
    fn is_web_page(&self) -> bool {
        let kind = self.content_type.as_deref();
        kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
    }
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
    /// What will be read, ascending.
    upcoming: Vec<ByteRange>,
    /// What is asked for to that end.
    requests: Vec<Vec<ByteRange>>,
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
            requests: Vec::new(),
        }
    }

    /// What to ask for: the planned request with these bytes, from `at` on. What nobody announced is a request of its own.
    fn wanted(&self, at: u64, end: u64) -> Wanted {
        if self.ignores_ranges {
            return Wanted::From(at);
        }
        let covers = |range: &ByteRange| range.start <= at && end <= range.end;
        let planned = self.requests.iter().find_map(|ranges| {
            let place = ranges.iter().position(covers)?;
            ranges.get(place..)
        });
        let mut ranges = planned.map_or_else(|| vec![ByteRange { start: at, end }], <[ByteRange]>::to_vec);
        if let Some(first) = ranges.first_mut() {
            first.start = at;
        }
        Wanted::Ranges(ranges)
    }

    /// Plans the requests for what was announced.
    fn plan(&mut self, gives_several: bool) {
        self.gives_several = gives_several;
        let overheads = if gives_several {
            Overheads::SEVERAL
        } else {
            Overheads::SINGLE
        };
        self.requests = requests(&self.upcoming, &overheads);
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
        if matches!(answer.status, 200 | 206) && answer.is_web_page() {
            return Err(Failure::Lasting(SourceError::WebPage));
        }
        if several.is_some() && matches!(answer.status, 200 | 400 | 416 | 431 | 501) {
            // It can't, or won't: everything instead of a few ranges would be a bad bargain.
            self.plan(false);
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
                    self.plan(false);
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
            self.plan(open.is_some());
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
        let longest = usize::try_from(end - at).map_or(PIECE_BYTES, |bytes| bytes.min(PIECE_BYTES));
        let mut buffer = vec![0; longest];
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
        self.plan(self.gives_several);
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
mod tests;
