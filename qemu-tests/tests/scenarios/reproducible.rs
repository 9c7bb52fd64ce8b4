//! The same recipe gives the same bytes, whoever builds it, wherever, whenever; and without any privilege.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{collections::BTreeMap, process::Command};

use outcrop_qemu::{build::Build, host::as_root};
use outcrop_release::digest::FileDigest;

/// Every output file of a plain build by the user who runs the tests.
fn reference() -> BTreeMap<String, FileDigest> {
    let build = Build::new();
    let words = build.arguments();
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8");
    let files = build.run(&mut command);
    let images = files.keys().filter(|name| name.ends_with(".img"));
    assert!(
        images.count() == 2 && files.contains_key("SHA256SUMS"),
        "{files:?}"
    );
    files
}

#[test]
fn whoever_builds_wherever_without_privileges_or_namespaces_gets_the_same_bytes_for_both_architectures() {
    let reference = reference();
    assert_eq!(somebody_elsewhere(), reference);
}

/// Another user, umask, time zone, locale, working folder, number of processors and home; no capabilities, no user namespaces, no new privileges.
fn somebody_elsewhere() -> BTreeMap<String, FileDigest> {
    let build = Build::new();
    build.own_by_nobody();
    assert_no_namespaces();
    let script = "umask 077; cd \"$HOME\"; exec taskset 1 \"$@\"";
    let mut other = without_namespaces();
    other.args([
        "env",
        "-i",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "TZ=Pacific/Auckland",
        "LC_ALL=tr_TR.UTF-8",
    ]);
    other
        .arg(format!("HOME={}", build.path("cache").display()))
        .args(["sh", "-c", script, "sh"]);
    build.run(other.args(build.arguments()))
}

/// As the user `nobody`; and the kernel refuses user namespaces, since it does so to whoever was chrooted: the same file
/// system, bound to another place. Source: user_namespaces(7), `EPERM` of unshare(2).
fn without_namespaces() -> Command {
    let script = "set -e; root=$(mktemp -d); mount --rbind / \"$root\"; cd /; exec chroot \"$root\" setpriv --reuid=65534 \
                  --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \"$@\"";
    let mut command = as_root("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command
}

fn assert_no_namespaces() {
    let output = without_namespaces()
        .args(["unshare", "--user", "true"])
        .output()
        .unwrap();
    assert!(!output.status.success(), "user namespaces are still to be had");
    let output = without_namespaces()
        .args(["sh", "-c", "grep -E '^(CapEff|NoNewPrivs)' /proc/self/status"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("0000000000000000") && text.contains("NoNewPrivs:\t1"),
        "{text}"
    );
}
