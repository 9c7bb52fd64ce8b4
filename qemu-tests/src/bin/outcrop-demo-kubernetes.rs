//! The story of a Kubernetes at the edge, told while it happens: a pod serves HTTP, an update keeps the datastore, and a release that ruins
//! it is undone. `cargo xtask demo --kubernetes` builds the releases and starts this.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Instant,
};

use outcrop_qemu::kubernetes::{Cluster, NEW, Network, OLD, RUINOUS, flashed};
use outcrop_release::arch::Architecture;

fn main() -> ExitCode {
    let begin = Instant::now();
    let tell = |text: &str| {
        // Where nobody listens, the exit code tells.
        let _ = writeln!(io::stdout(), "[{:4} s] {text}", begin.elapsed().as_secs());
    };
    tell(&format!(
        "power on: {OLD}, with etcd, API server, controllers, scheduler, kubelet and containerd"
    ));
    let disk = flashed();
    let mut cluster = Cluster::start(Architecture::X86_64, &disk, Network::Updates);
    tell("the node is ready, and so is its pod");
    let page = cluster.page();
    tell(&format!("the pod says over HTTP: {page}"));
    cluster.mark();
    let objects = cluster.settled_objects().len();
    tell(&format!("a marker is in the datastore, {objects} objects in all"));

    tell(&format!("{NEW}: outcrop-updater install, restart into the trial"));
    cluster.update(NEW);
    let line = cluster.expect("snapshot 1 of the state was taken");
    tell(after(&line, "outcrop: "));
    let line = cluster.expect(&format!("outcrop: committed: kube {NEW} "));
    tell(after(&line, "outcrop: "));
    cluster.expect(&format!("outcrop: healthy: kube {NEW} "));
    let kept = cluster.has_mark();
    tell(&format!("the marker is {}", if kept { "there" } else { "gone" }));

    tell(&format!(
        "{RUINOUS}: outcrop-updater install, restart into the trial; it ruins the datastore"
    ));
    cluster.update(RUINOUS);
    for words in [
        "of the state was taken",
        "outcrop: trial failed: ",
        "of the state was brought back",
        &format!("outcrop: healthy: kube {NEW} "),
    ] {
        let line = cluster.expect(words);
        tell(after(&line, "outcrop: "));
    }
    let restored = cluster.has_mark();
    tell(&format!(
        "the marker is {}",
        if restored { "there" } else { "gone" }
    ));
    for line in cluster.run("outcrop-updater state list").lines() {
        tell(&format!("    {line}"));
    }
    match kept && restored {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What comes after `word` in a line of the console.
fn after<'l>(line: &'l str, word: &str) -> &'l str {
    line.split_once(word).map_or(line, |(_, rest)| rest).trim()
}
