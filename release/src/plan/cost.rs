//! What an installation costs, known before its first frame.

use std::{num::NonZeroU64, ops::Add, time::Duration};

use serde_json::{Value, json};

/// What an installation moves. Bytes, but for `requests`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// To fetch, with what lies between two ranges and is fetched along; headers of the protocol aren't counted.
    pub fetch: Fetch,
    /// Requests to a server that gives several ranges at a time.
    pub requests: u64,
    /// To read of the payloads in both slots: what is compared, what is copied, and what frames need before them. Hash trees (1/127
    /// of that) aren't counted, nor is reading back what was written to check it.
    pub read: u64,
    /// To copy from the active slot.
    pub copy: u64,
    /// To write to the inactive slot; what was copied is among them. Hash trees aren't counted.
    pub write: u64,
    /// In place already.
    pub keep: u64,
}

/// What is fetched, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fetch {
    /// The bundle's beginning: manifest, signatures, and what comes along.
    pub head: u64,
    /// The frame table: its top, and the pages that are needed.
    pub index: u64,
    /// Blocks of the hash trees that the device hasn't got.
    pub tree: u64,
    /// Frames, compressed.
    pub frames: u64,
    /// Of a delta: its beginning, its index, its frames.
    pub delta: u64,
}

/// A way to the bundle's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Bytes a second.
    pub rate: NonZeroU64,
    /// From a request to the first byte of its answer.
    pub latency: Duration,
}

/// More would be fetched than is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the installation would fetch {needed} bytes, {allowed} are allowed")]
pub struct OverBudget {
    /// What it would fetch.
    pub needed: u64,
    /// What it may.
    pub allowed: u64,
}

impl Fetch {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.head + self.index + self.tree + self.frames + self.delta
    }
}

impl Default for Link {
    /// 8 Mbit/s, 100 ms.
    fn default() -> Self {
        Self {
            rate: NonZeroU64::MIN.saturating_add(999_999),
            latency: Duration::from_millis(100),
        }
    }
}

impl Cost {
    /// How long fetching takes: every byte at the link's rate, and a wait for each request.
    #[must_use]
    pub fn time(&self, link: &Link) -> Duration {
        let bytes = u128::from(self.fetch.total()) * 1000 / u128::from(link.rate.get());
        let waits = u128::from(self.requests) * link.latency.as_millis();
        Duration::from_millis(u64::try_from(bytes + waits).unwrap_or(u64::MAX))
    }

    /// Refuses what would fetch more than `allowed` bytes.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub const fn within(&self, allowed: u64) -> Result<(), OverBudget> {
        let needed = self.fetch.total();
        if needed <= allowed {
            return Ok(());
        }
        Err(OverBudget { needed, allowed })
    }

    /// The figures for a program.
    #[must_use]
    pub fn to_json(&self, link: &Link) -> Value {
        let Fetch {
            head,
            index,
            tree,
            frames,
            delta,
        } = self.fetch;
        json!({
            "fetch": self.fetch.total(),
            "fetch-head": head,
            "fetch-index": index,
            "fetch-tree": tree,
            "fetch-frames": frames,
            "fetch-delta": delta,
            "requests": self.requests,
            "read": self.read,
            "copy": self.copy,
            "write": self.write,
            "keep": self.keep,
            "milliseconds": u64::try_from(self.time(link).as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// The figures for people, in one line.
    #[must_use]
    pub fn describe(&self, link: &Link) -> String {
        let seconds = self.time(link).as_secs_f64();
        format!(
            "{} to fetch in {} (about {seconds:.1} s at {}/s), {} to read, {} to write ({} of it from the running slot), {} in place",
            size(self.fetch.total()),
            count(self.requests, "request"),
            size(link.rate.get()),
            size(self.read),
            size(self.write),
            size(self.copy),
            size(self.keep)
        )
    }
}

fn count(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

/// Bytes with the unit that suits them.
fn size(bytes: u64) -> String {
    let (unit, shift) = if bytes < 1 << 20 { ("KiB", 10) } else { ("MiB", 20) };
    let tenths = bytes.saturating_mul(10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

impl Add for Fetch {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            head: self.head + other.head,
            index: self.index + other.index,
            tree: self.tree + other.tree,
            frames: self.frames + other.frames,
            delta: self.delta + other.delta,
        }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            fetch: self.fetch + other.fetch,
            requests: self.requests + other.requests,
            read: self.read + other.read,
            copy: self.copy + other.copy,
            write: self.write + other.write,
            keep: self.keep + other.keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost() -> Cost {
        Cost {
            fetch: Fetch {
                head: 10,
                index: 20,
                tree: 30,
                frames: 30,
                delta: 10,
            },
            requests: 2,
            ..Cost::default()
        }
    }

    #[test]
    fn a_budget_is_what_may_be_fetched_at_most() {
        assert_eq!(cost().within(100), Ok(()));
        let error = cost().within(99).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the installation would fetch 100 bytes, 99 are allowed"
        );
    }

    #[test]
    fn time_is_bytes_at_the_rate_and_a_wait_for_each_request() {
        let link = Link {
            rate: NonZeroU64::new(50).unwrap(),
            latency: Duration::from_millis(250),
        };
        assert_eq!(cost().time(&link), Duration::from_millis(2500));
        assert!(
            cost()
                .describe(&link)
                .starts_with("0.0 KiB to fetch in 2 requests (about 2.5 s at")
        );
        assert_eq!(cost().to_json(&link)["milliseconds"], 2500);
    }
}
