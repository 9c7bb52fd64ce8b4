//! Ctrl-C and SIGTERM while a mirror is silent.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    bench::{Bench, RECIPE, assert_refused, body, good_server},
    server::{Reply, Server},
};

/// From the signal to the end of the process.
const SOON: Duration = Duration::from_secs(5);
/// A test that waits longer for something hangs.
const LONG: Duration = Duration::from_secs(60);

/// Sends `signal` to `command` once `ready` says so; returns its output and how long it took to end.
fn interrupted(
    mut command: std::process::Command,
    signal: Signal,
    ready: impl Fn() -> bool,
) -> (std::process::Output, Duration) {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < LONG, "the program never came to the point");
        thread::sleep(Duration::from_millis(20));
    }
    let sent = Instant::now();
    kill_process(Pid::from_child(&child), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    (output, sent.elapsed())
}

#[test]
fn a_build_ends_soon_though_the_mirror_is_silent_and_the_next_one_continues_its_download() {
    for signal in [Signal::INT, Signal::TERM] {
        let bodies = [body(300_000)];
        let bench = Bench::locked(&bodies);
        let stalling = bodies[0].clone();
        let server = Server::start(move |_, _| Reply::Stall(stalling.clone(), 100_000, LONG));
        let ready = || bench.partial_bytes() == Some(100_000);
        let (output, took) = interrupted(bench.build(&server.url()), signal, ready);
        assert_refused(&output, 130, &["interrupted"]);
        assert!(took < SOON, "{took:?} after {signal:?}");
        assert_eq!(bench.partial_bytes(), Some(100_000), "what came in is kept");
        assert_eq!(std::fs::read_dir(bench.path("out")).unwrap().count(), 0);
        let good = good_server(&bodies);
        bench.assert_refuses(bench.build(&good.url()), 6, &["p0"]);
        assert_eq!(good.requests()[0].from, 100_000, "only the rest is asked for");
    }
}

#[test]
fn a_build_ends_soon_though_the_mirror_never_answers() {
    let bench = Bench::locked(&[body(1000)]);
    let server = Server::start(|_, _| {
        thread::sleep(LONG);
        Reply::Status(404)
    });
    let (output, took) = interrupted(bench.build(&server.url()), Signal::INT, || {
        !server.requests().is_empty()
    });
    assert_refused(&output, 130, &["interrupted"]);
    assert!(took < SOON, "{took:?}");
}

#[test]
fn locking_ends_soon_though_the_archive_is_silent_and_takes_apt_with_it() {
    for signal in [Signal::INT, Signal::TERM] {
        let bench = Bench::new(RECIPE);
        bench.write_lock("the old lock");
        let server = Server::start(|_, _| Reply::Stall(vec![b'x'; 1000], 100, LONG));
        let command = bench.outcrop(&["lock", "x.toml", "--mirror", &server.url()]);
        let (output, took) = interrupted(command, signal, || !server.requests().is_empty());
        assert_refused(&output, 130, &["interrupted"]);
        assert!(took < SOON, "{took:?} after {signal:?}");
        assert_eq!(std::fs::read(bench.path("x.lock")).unwrap(), b"the old lock");
        // What was killed goes when the kernel gets to it.
        let end = Instant::now() + SOON;
        while apt_runs_below(&bench) {
            assert!(Instant::now() < end, "apt-get is left running");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether a process is left that works in the bench's cache.
fn apt_runs_below(bench: &Bench) -> bool {
    let folder = bench.path("cache").canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path().join("cwd")).ok())
        .any(|cwd| cwd.starts_with(&folder))
}
