//! What a played device reaches, and how well.

use std::{cell::Cell, io};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{channel::ChannelName, digest::FileDigest, plan::ByteRange, report::Report};

use super::{bundle::MemorySource, published::Published};
use crate::{
    channel::{FetchError, Fetched, ListSource},
    install::{Meter, Source, SourceError, Take},
    reports::{FolderSink, Sink, SinkError},
};

/// What a device's network gives it.
pub(crate) struct Network<'p> {
    pub(crate) published: &'p Published,
    pub(crate) now: Timestamp,
    pub(crate) offline: bool,
    /// What was asked, in bytes; answers of a list that hasn't changed are empty.
    pub(crate) lists: &'p mut Vec<usize>,
}

impl ListSource for Network<'_> {
    fn fetch(&mut self, _: &ChannelName, tag: Option<&str>) -> Result<Fetched, FetchError> {
        if self.offline {
            return Err(FetchError::Unreachable {
                url: "https://updates.example/edge/stable.channel".to_owned(),
                source: io::ErrorKind::TimedOut.into(),
            });
        }
        let bytes = self.published.list(self.now).to_vec();
        let found = FileDigest::of(&bytes).to_string();
        if tag == Some(found.as_str()) {
            self.lists.push(0);
            return Ok(Fetched::Same);
        }
        self.lists.push(bytes.len());
        Ok(Fetched::List {
            bytes,
            tag: Some(found),
        })
    }
}

/// Nobody is asked.
pub(crate) struct Nobody;

impl ListSource for Nobody {
    fn fetch(&mut self, _: &ChannelName, _: Option<&str>) -> Result<Fetched, FetchError> {
        Ok(Fetched::Same)
    }
}

/// A bundle that may not be there.
pub(crate) struct Bytes {
    pub(crate) there: bool,
    pub(crate) inner: MemorySource,
}

impl Source for Bytes {
    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E> {
        if self.there {
            return self.inner.read(range, take);
        }
        Err(SourceError::Server {
            tries: 8,
            why: "connection refused".to_owned(),
        }
        .into())
    }
}

/// Takes reports, or doesn't.
pub(crate) struct PlayedSink {
    pub(crate) inner: FolderSink,
    pub(crate) is_down: bool,
}

impl Sink for PlayedSink {
    fn send(&mut self, report: &Report, bytes: &[u8]) -> Result<(), SinkError> {
        if self.is_down {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        self.inner.send(report, bytes)
    }
}

/// Counts what is read, as a metered link would, and takes its time.
pub(crate) struct Counting<'c> {
    pub(crate) inner: Bytes,
    pub(crate) meter: Meter,
    pub(crate) clock: &'c Cell<Timestamp>,
    pub(crate) time_of_a_piece: SignedDuration,
}

impl Source for Counting<'_> {
    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E> {
        let meter = self.meter.clone();
        let (clock, time) = (self.clock, self.time_of_a_piece);
        self.inner.read::<E>(range, &mut |piece| {
            meter.add(piece.len() as u64);
            clock.set(clock.get().checked_add(time).unwrap());
            take(piece)
        })
    }
}
