//! A server that misbehaves as told, and stand-ins for clock and progress display.

mod server;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

pub(crate) use self::server::{Reply, Request, Server};
use super::Clock;
use crate::progress::{Cancelled, Phase, Progress, Unit};

/// A clock that only notes how long it should have waited.
#[derive(Debug, Default)]
pub(super) struct NotedSleeps(Mutex<Vec<Duration>>);

impl NotedSleeps {
    pub(super) fn total(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }
}

impl Clock for NotedSleeps {
    fn sleep(&self, time: Duration) {
        self.0.lock().unwrap().push(time);
        thread::sleep(Duration::from_millis(1)); // others get their turn
    }
}

/// Counts what is reported, and cancels once so many bytes were.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    bytes: Arc<AtomicU64>,
    cancel_at: u64,
}

impl Counter {
    pub(super) fn new() -> Self {
        Self::cancelling_at(u64::MAX)
    }

    pub(super) fn cancelling_at(cancel_at: u64) -> Self {
        Self {
            bytes: Arc::default(),
            cancel_at,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

impl Progress for Counter {
    fn phase(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Phase> {
        Box::new(self.clone())
    }

    fn note(&self, _: &str) {}

    fn checkpoint(&self) -> Result<(), Cancelled> {
        if self.bytes() >= self.cancel_at {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }
}

impl Phase for Counter {
    fn advance(&self, amount: u64) {
        self.bytes.fetch_add(amount, Ordering::SeqCst);
    }

    fn set_total(&self, _: u64) {}
}
