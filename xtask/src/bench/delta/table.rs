//! The figures as a table for people.

use super::{
    Figures,
    bars::{Bar, ratio},
    ours::Ours,
};
use crate::bench::measure::Cost;

/// Prints a pair: Outcrop first, then each peer with its bytes as a multiple of ours, or of xdelta3's as long as there are none.
pub(super) fn print(figures: &Figures, bars: &[Bar]) {
    eprintln!("\n{}: {}", figures.pair.name(), figures.what);
    eprintln!(
        "{} bytes -> {} bytes; {} bytes of blocks differ at their place",
        figures.old_bytes, figures.new_bytes, figures.changed_bytes
    );
    eprintln!(
        "{:<48} {:>12} {:>7} {:>15} {:>15}  measured",
        "", "bytes", "times", "make s, MiB", "apply s, MiB"
    );
    print_ours(figures);
    print_peers(figures);
    for slow in figures.ours.iter().flat_map(|ways| &ways.slow) {
        eprintln!(
            "on a disk of {} MB/s: installed in {:.1} s, dd in {:.1} s",
            slow.rate / 1_000_000,
            slow.device_seconds,
            slow.dd_seconds
        );
    }
    for bar in bars {
        let mark = if bar.is_missed() { "MISSED" } else { "ok" };
        eprintln!("  {mark}: {}: {:.3} (bar {})", bar.what, bar.found, bar.bar);
    }
}

fn print_ours(figures: &Figures) {
    let Some(ways) = &figures.ours else {
        return;
    };
    let ways = [
        ("outcrop, patches", Some(ways.patched)),
        ("outcrop, patches, kernel repacked", ways.repacked),
        ("outcrop, predecessor unknown", Some(ways.unknown)),
    ];
    for (name, ours) in ways {
        if let Some(ours) = ours {
            let (make, apply) = (Some(made(&ours)), Some(device(&ours)));
            row(name, ours.fetched, figures.base(), make, apply, "now");
        }
    }
}

fn print_peers(figures: &Figures) {
    let base = figures.base();
    for peer in &figures.peers {
        let (costs, told) = (&peer.costs, format!("{}, {}", peer.measured, peer.version));
        row(
            peer.peer.command(),
            costs.fetched,
            base,
            Some(costs.make),
            costs.apply,
            &told,
        );
        if let Some(best) = costs.at_best {
            row(
                "  at best: what is missing, in one stream",
                best,
                base,
                None,
                None,
                "",
            );
        }
    }
    if let Some(bytes) = figures.changed_files {
        row(
            "the package's changed files, zstd -19 each",
            bytes,
            base,
            None,
            None,
            "",
        );
    }
}

fn row(name: &str, bytes: u64, base: Option<u64>, make: Option<Cost>, apply: Option<Cost>, told: &str) {
    let cost = |cost: Option<Cost>| {
        cost.map_or_else(String::new, |cost| {
            format!("{:.1}, {:.0}", cost.seconds, cost.peak_mib)
        })
    };
    eprintln!(
        "{name:<48} {bytes:>12} {:>7.3} {:>15} {:>15}  {told}",
        ratio(bytes, base),
        cost(make),
        cost(apply)
    );
}

fn made(ours: &Ours) -> Cost {
    Cost {
        seconds: ours.build_seconds,
        peak_mib: ours.build_peak_mib,
    }
}

fn device(ours: &Ours) -> Cost {
    Cost {
        seconds: ours.device_seconds,
        peak_mib: ours.device_peak_mib,
    }
}
