//! A bundle of which only so much is fetched, or only until some moment: a metered link, a night. What is there by then stays, and a later
//! installation goes on from it.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use jiff::Timestamp;
use outcrop_release::plan::ByteRange;

use super::{
    http::{Answer, Server, Wanted},
    source::{Source, SourceError, Take},
};

/// What a request and the head of its answer take, about: it is counted, not measured. What TLS adds isn't counted.
const REQUEST_BYTES: u64 = 700;

/// Counts bytes that came over a link.
#[derive(Debug, Clone, Default)]
pub struct Meter(Rc<Cell<u64>>);

impl Meter {
    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.get()
    }

    /// `bytes` more have come.
    pub fn add(&self, bytes: u64) {
        self.0.set(self.0.get().saturating_add(bytes));
    }
}

/// How much, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes; none means any number.
    pub bytes: Option<u64>,
    /// The moment; none means at any time.
    pub until: Option<Timestamp>,
}

/// A web server whose answers are counted.
#[derive(Debug)]
pub struct Metered<S> {
    server: S,
    meter: Meter,
}

impl<S> Metered<S> {
    /// Counts what `server` gives.
    pub const fn new(server: S, meter: Meter) -> Self {
        Self { server, meter }
    }
}

impl<S: Server> Server for Metered<S> {
    fn get(&mut self, wanted: &Wanted) -> io::Result<Answer> {
        self.meter.add(REQUEST_BYTES);
        let answer = self.server.get(wanted)?;
        Ok(Answer {
            body: Box::new(Counted {
                body: answer.body,
                meter: self.meter.clone(),
            }),
            ..answer
        })
    }
}

struct Counted {
    body: Box<dyn Read>,
    meter: Meter,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buffer)?;
        self.meter.add(count as u64);
        Ok(count)
    }
}

/// A bundle that ends early once a limit is reached.
#[derive(Debug)]
pub struct Limited<S, N = fn() -> Timestamp> {
    inner: S,
    limits: Limits,
    meter: Meter,
    now: N,
}

impl<S, N: Fn() -> Timestamp> Limited<S, N> {
    /// `inner`, until `meter` has counted what `limits` allow, or the clock `now` says that it is too late.
    pub const fn new(inner: S, limits: Limits, meter: Meter, now: N) -> Self {
        Self {
            inner,
            limits,
            meter,
            now,
        }
    }
}

impl Limits {
    fn check(&self, fetched: u64, now: impl Fn() -> Timestamp) -> Result<(), SourceError> {
        if self.bytes.is_some_and(|most| fetched >= most) {
            return Err(SourceError::Spent(fetched));
        }
        match self.until {
            Some(until) if now() >= until => Err(SourceError::Closed),
            _ => Ok(()),
        }
    }
}

impl<S: Source, N: Fn() -> Timestamp> Source for Limited<S, N> {
    fn announce(&mut self, ranges: &[ByteRange]) {
        self.inner.announce(ranges);
    }

    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E> {
        let Self {
            inner,
            limits,
            meter,
            now,
        } = self;
        limits.check(meter.bytes(), &*now)?;
        inner.read::<E>(range, &mut |piece| {
            // What has come is used, also when it is more than was allowed: it is paid for.
            take(piece)?;
            Ok(limits.check(meter.bytes(), &*now)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::{
        install::{HttpSource, InstallError, Installation, Pause, read_head},
        testing::{
            bundle::{Bundle, Release, trust},
            sim::{Memory, SimDisk, Unwatched},
        },
    };
    use outcrop_release::{plan::survey::Looked, slot::Slot, trust::verify};

    /// A server that has one file.
    struct Files(Vec<u8>);

    impl Server for Files {
        fn get(&mut self, wanted: &Wanted) -> io::Result<Answer> {
            let range = match wanted {
                Wanted::From(at) => *at..self.0.len() as u64,
                Wanted::Ranges(ranges) => ranges[0].start..ranges[0].end,
            };
            let place = |at: u64| usize::try_from(at).unwrap();
            let body: VecDeque<u8> = self.0[place(range.start)..place(range.end)].to_vec().into();
            Ok(Answer {
                status: 206,
                range: Some(format!(
                    "bytes {}-{}/{}",
                    range.start,
                    range.end - 1,
                    self.0.len()
                )),
                content_type: None,
                version: None,
                body: Box::new(body),
            })
        }
    }

    struct Never;

    impl Pause for Never {
        fn pause(&self, _: std::time::Duration) -> Result<(), SourceError> {
            panic!("nothing fails here")
        }
    }

    fn early() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    type Night = Limited<HttpSource<Metered<Files>, Never>>;

    fn night(bundle: &Bundle, limits: Limits, meter: &Meter, now: fn() -> Timestamp) -> Night {
        let server = Metered::new(Files(bundle.bytes.clone()), meter.clone());
        Limited::new(HttpSource::new(server, Never), limits, meter.clone(), now)
    }

    fn install(disk: &mut SimDisk, source: &mut Night) -> Result<(), InstallError> {
        let head = read_head(source).map_err(|error| match error {
            crate::install::HeadError::Source(source) => InstallError::Source(source),
            other => InstallError::from(other),
        })?;
        let release = verify(&head.manifest, &head.signatures, &trust()).unwrap();
        let mut installation = Installation {
            source,
            disk,
            scratch: &mut Memory::default(),
            running: Slot::A,
            budget: None,
            delta: None,
            looked: Looked::default(),
            memory: 0,
            watch: &Unwatched,
        };
        let prepared = installation.prepare(&head, &release)?;
        installation.carry_out(&prepared).map(drop)
    }

    #[test]
    fn a_release_that_takes_three_nights_is_fetched_once_all_the_same() {
        let (old, new) = (Release::new(1), Release::new(2));
        let bundle = Bundle::of(&new);
        let mut disk = SimDisk::flashed(&old);
        let whole = Meter::default();
        install(
            &mut disk.clone(),
            &mut night(&bundle, Limits::default(), &whole, early),
        )
        .unwrap();
        let limits = Limits {
            bytes: Some(whole.bytes() / 2),
            until: None,
        };
        let mut fetched = Vec::new();
        for _ in 0..9 {
            let meter = Meter::default();
            let result = install(&mut disk, &mut night(&bundle, limits, &meter, early));
            fetched.push(meter.bytes());
            match result {
                Ok(()) => break,
                Err(InstallError::Source(SourceError::Spent(_))) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        disk.assert_holds(Slot::B, &new);
        assert!(fetched.len() > 2, "{fetched:?}");
        // Each night looks at the release anew; its blocks come once.
        let all: u64 = fetched.iter().sum();
        let looks = fetched.len() as u64 * 20_000;
        assert!(
            all < whole.bytes() + looks,
            "{all} bytes in {fetched:?}, {} at once",
            whole.bytes()
        );
        // No more than one piece, of at most 64 KiB, and a request too much.
        let most = limits.bytes.unwrap() + 64 * 1024 + REQUEST_BYTES;
        assert!(fetched.iter().all(|bytes| *bytes <= most), "{fetched:?}");
    }

    #[test]
    fn nothing_is_fetched_when_the_time_is_over() {
        let bundle = Bundle::of(&Release::new(2));
        let meter = Meter::default();
        let limits = Limits {
            bytes: None,
            until: Some(early()),
        };
        let mut disk = SimDisk::flashed(&Release::new(1));
        let result = install(
            &mut disk,
            &mut night(&bundle, limits, &meter, || Timestamp::UNIX_EPOCH),
        );
        assert!(
            matches!(result, Err(InstallError::Source(SourceError::Closed))),
            "{result:?}"
        );
        assert_eq!(meter.bytes(), 0);
    }
}
