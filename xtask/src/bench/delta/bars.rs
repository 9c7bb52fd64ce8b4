//! What Outcrop has to reach on each pair.

use super::{Figures, ours::Ways, pairs::Pair, peers::Peer};

/// Trixie to trixie with its fixes, as a multiple of `xdelta3 -9`.
const TIMES_XDELTA3: f64 = 0.65;
/// The same where the device can repack the kernel, and on aarch64, whose kernel isn't packed.
const TIMES_XDELTA3_REPACKED: f64 = 0.45;
/// The same, as a multiple of what RAUC's adaptive mode fetches.
const TIMES_RAUC: f64 = 0.35;
/// Nothing known of what the device has, as a multiple of the same.
const TIMES_RAUC_UNKNOWN: f64 = 1.0;
/// Only the version raised: bytes fetched.
const MOST_BYTES_OF_A_VERSION: f64 = 16.0 * 1024.0;
/// One package rebuilt, as a multiple of its changed files, each compressed by itself.
const TIMES_CHANGED_FILES: f64 = 1.2;
/// Another release of Debian, as a multiple of the whole image at its smallest.
const TIMES_WHOLE: f64 = 1.01;
/// On every pair.
const DEVICE_MIB: f64 = 32.0;
const TIMES_CHANGED: f64 = 1.05;
const TIMES_DD: f64 = 1.5;
const BUILD_SECONDS: f64 = 60.0;
const BUILD_MIB: f64 = 1024.0;

/// A bar, and what was found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(super) struct Bar {
    pub(super) pair: &'static str,
    pub(super) what: &'static str,
    pub(super) found: f64,
    pub(super) bar: f64,
}

impl Bar {
    /// A found value that is no number, for want of a peer's, misses its bar.
    pub(super) fn is_missed(&self) -> bool {
        self.found.is_nan() || self.found > self.bar
    }

    /// For people.
    pub(super) fn tell(&self) -> String {
        format!(
            "{}: {}: {:.2}, the bar is {}",
            self.pair, self.what, self.found, self.bar
        )
    }
}

/// The bars of a pair, none as long as Outcrop has no figures.
pub(super) fn of(figures: &Figures) -> Vec<Bar> {
    let Some(ours) = &figures.ours else {
        return Vec::new();
    };
    let mut bars = bytes(figures, ours);
    bars.extend(costs(figures, ours));
    let bar = |(what, found, bar)| Bar {
        pair: figures.pair.name(),
        what,
        found,
        bar,
    };
    bars.into_iter().map(bar).collect()
}

type Row = (&'static str, f64, f64);

fn bytes(figures: &Figures, ours: &Ways) -> Vec<Row> {
    let patched = ours.patched.fetched;
    let repacked = ours.repacked.unwrap_or(ours.patched).fetched;
    let times = |bytes, of: Option<u64>| ratio(bytes, of);
    let (xdelta3, rauc) = (figures.fetched(Peer::Xdelta3), figures.really_fetched(Peer::Rauc));
    let unknown = times(ours.unknown.fetched, rauc);
    let unknown = (
        "unknown predecessor, of RAUC's bytes",
        unknown,
        TIMES_RAUC_UNKNOWN,
    );
    match figures.pair {
        Pair::SecurityX86_64 => vec![
            ("bytes of xdelta3's", times(patched, xdelta3), TIMES_XDELTA3),
            (
                "bytes of xdelta3's, kernel repacked",
                times(repacked, xdelta3),
                TIMES_XDELTA3_REPACKED,
            ),
            (
                "bytes of RAUC's, kernel repacked",
                times(repacked, rauc),
                TIMES_RAUC,
            ),
            unknown,
        ],
        Pair::SecurityAarch64 => vec![
            (
                "bytes of xdelta3's",
                times(patched, xdelta3),
                TIMES_XDELTA3_REPACKED,
            ),
            unknown,
        ],
        Pair::Version => vec![
            ("bytes fetched", count(patched), MOST_BYTES_OF_A_VERSION),
            (
                "bytes of data blocks written",
                count(ours.patched.data_written),
                0.0,
            ),
        ],
        Pair::Package => vec![(
            "bytes of its changed files', compressed",
            times(patched, figures.changed_files),
            TIMES_CHANGED_FILES,
        )],
        Pair::Bookworm => vec![(
            "bytes of the whole image's",
            times(patched, figures.whole()),
            TIMES_WHOLE,
        )],
        Pair::Kubernetes | Pair::RenamedKernel => Vec::new(),
    }
}

fn costs(figures: &Figures, ours: &Ways) -> Vec<Row> {
    let ways = [Some(ours.patched), ours.repacked, Some(ours.unknown)];
    // Repacking a kernel needs what a small device doesn't have, and is only done where that is there.
    let small = ways
        .into_iter()
        .flatten()
        .filter(|way| Some(*way) != ours.repacked);
    let device = small.map(|way| way.device_peak_mib).fold(0.0, f64::max);
    let builder = ours.repacked.unwrap_or(ours.patched);
    // The bar is for two default images, not for all that changed between two releases of Debian.
    let seconds = (figures.pair != Pair::Bookworm).then_some((
        "builder's seconds",
        builder.build_seconds,
        BUILD_SECONDS,
    ));
    vec![
        ("device's peak MiB", device, DEVICE_MIB),
        (
            "bytes written of changed",
            ratio(ours.patched.written, Some(figures.changed_bytes)),
            TIMES_CHANGED,
        ),
        ("builder's peak MiB", builder.build_peak_mib, BUILD_MIB),
    ]
    .into_iter()
    .chain(seconds)
    .chain(installing(ours))
    .collect()
}

/// On disks that are as fast as flash, where there are such: on a faster one it is the processor that is measured.
fn installing(ours: &Ways) -> Vec<Row> {
    let name = |rate| match rate {
        20_000_000 => "installing at 20 MB/s, times dd",
        _ => "installing at 100 MB/s, times dd",
    };
    let slow: Vec<Row> = ours
        .slow
        .iter()
        .map(|slow| (name(slow.rate), slow.device_seconds / slow.dd_seconds, TIMES_DD))
        .collect();
    if slow.is_empty() {
        let times = ours.patched.device_seconds / ours.dd_seconds;
        return vec![("installing, times dd", times, TIMES_DD)];
    }
    slow
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(bytes: u64) -> f64 {
    bytes as f64
}

/// Not a number when the other isn't known.
pub(super) fn ratio(bytes: u64, of: Option<u64>) -> f64 {
    match of {
        // Nothing changed, nothing written.
        Some(0) if bytes == 0 => 0.0,
        Some(of) => count(bytes) / count(of),
        None => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(found: f64) -> Bar {
        Bar {
            pair: "version",
            what: "x",
            found,
            bar: 0.5,
        }
    }

    #[test]
    fn a_bar_is_missed_by_more_and_by_what_cannot_be_told() {
        assert!(!bar(0.5).is_missed());
        assert!(bar(0.51).is_missed());
        assert!(bar(ratio(1, None)).is_missed());
        assert!(!bar(ratio(0, Some(0))).is_missed());
        assert!(bar(ratio(1, Some(0))).is_missed());
        assert_eq!(bar(0.5).tell(), "version: x: 0.50, the bar is 0.5");
    }
}
