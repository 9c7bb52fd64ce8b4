//! Archives that can't be locked from. What is there already stays as it is, byte for byte.

use std::{fs, path::Path, process::Command};

use crate::{
    bench::{Bench, RECIPE, closed_port},
    server::{Reply, Server},
};

/// Checks that locking from `mirror` is refused with 4, and leaves the lock of an earlier time.
#[track_caller]
fn assert_refused(mirror: &str, needles: &[&str]) {
    let bench = Bench::new(RECIPE);
    bench.write_lock("the old lock");
    bench.assert_refuses(bench.outcrop(&["lock", "x.toml", "--mirror", mirror]), 4, needles);
}

#[test]
fn a_mirror_without_the_lists_is_a_failure_of_the_network() {
    let server = Server::start(|_, _| Reply::Status(404));
    let needles = [
        "fetch the archive's lists",
        &server.url(),
        "does not have a Release file",
        "--mirror",
    ];
    assert_refused(&server.url(), &needles);
    let bench = Bench::new(RECIPE);
    let lock = bench.outcrop(&["lock", "x.toml", "--mirror", &server.url()]);
    bench.assert_refuses(lock, 4, &needles);
    assert!(!bench.path("x.lock").exists());
}

#[test]
fn a_mirror_that_is_gone_is_a_failure_of_the_network() {
    let gone = format!("http://127.0.0.1:{}", closed_port());
    assert_refused(&gone, &["fetch the archive's lists", "--mirror"]);
}

#[test]
fn lists_that_a_foreign_key_signed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let signed = signed_by_a_foreign_key(folder.path());
    let server = Server::start(move |request, _| {
        if request.path.ends_with("/InRelease") {
            Reply::File(signed.clone())
        } else {
            Reply::Status(404)
        }
    });
    assert_refused(&server.url(), &["check the archive's signatures", "--mirror"]);
}

/// An `InRelease` of trixie by somebody whom Outcrop doesn't know.
fn signed_by_a_foreign_key(home: &Path) -> Vec<u8> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(home, fs::Permissions::from_mode(0o700)).unwrap();
    let gpg = |arguments: &[&str]| {
        let output = Command::new("gpg")
            .args([
                "--batch",
                "--quiet",
                "--no-options",
                "--pinentry-mode",
                "loopback",
            ])
            .args(["--passphrase", "", "--homedir"])
            .arg(home)
            .args(arguments)
            .output()
            .expect("install the package gnupg");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let release = home.join("Release");
    fs::write(
        &release,
        "Origin: Debian\nSuite: stable\nCodename: trixie\nDate: Sun, 01 Nov 2026 00:00:00 UTC\nValid-Until: Fri, 01 Jan 2100 \
         00:00:00 UTC\nArchitectures: amd64\nComponents: main\nSHA256:\n",
    )
    .unwrap();
    gpg(&[
        "--quick-generate-key",
        "somebody@localhost",
        "ed25519",
        "sign",
        "never",
    ]);
    let signed = gpg(&["--output", "-", "--clearsign", &release.display().to_string()]);
    // The key's agent would outlive the folder.
    let stopped = Command::new("gpgconf")
        .args(["--homedir", &home.display().to_string(), "--kill", "all"])
        .status();
    assert!(stopped.unwrap().success());
    signed
}
