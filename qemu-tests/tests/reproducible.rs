//! The same recipe gives the same bytes, whoever builds it, wherever, whenever; and without any privilege.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::process::Command;

use outcrop_qemu::{
    build::{Build, as_nobody},
    host::as_root,
};

#[test]
fn two_builds_that_differ_in_all_but_the_recipe_are_byte_identical_for_both_architectures() {
    let (first, second) = (Build::new(), Build::new());
    let words = first.arguments();
    let one = first.run(
        Command::new(&words[0])
            .args(&words[1..])
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8"),
    );
    // Another user, umask, time zone, locale, working folder, number of processors and home.
    let script = "umask 077; cd \"$HOME\"; exec taskset 1 \"$@\"";
    let mut other = as_nobody();
    other.args([
        "env",
        "-i",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "TZ=Pacific/Auckland",
        "LC_ALL=tr_TR.UTF-8",
    ]);
    other
        .arg(format!("HOME={}", second.path("cache").display()))
        .args(["sh", "-c", script, "sh"]);
    second.own_by_nobody();
    let two = second.run(other.args(second.arguments()));
    let names: Vec<&str> = one.keys().map(String::as_str).collect();
    assert!(
        names.iter().filter(|name| name.ends_with(".img")).count() == 2 && names.contains(&"SHA256SUMS"),
        "{names:?}"
    );
    assert_eq!(one, two);
}

#[test]
fn nobody_without_capabilities_namespaces_or_new_privileges_builds_the_same_bytes() {
    let (privileged, unprivileged) = (Build::new(), Build::new());
    let words = privileged.arguments();
    let one = privileged.run(Command::new(&words[0]).args(&words[1..]));
    unprivileged.own_by_nobody();
    assert_no_namespaces();
    let two = unprivileged.run(without_namespaces().args(unprivileged.arguments()));
    assert_eq!(one, two);
}

/// Like [`as_nobody`], and the kernel refuses user namespaces, since it does so to whoever was chrooted: the same file
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
