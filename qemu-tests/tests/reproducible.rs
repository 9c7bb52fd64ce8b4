//! The same recipe gives the same bytes, whoever builds it, wherever, whenever; and without any privilege.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use outcrop_release::digest::FileDigest;

/// A build in a folder of its own, with a store of its own, so that nothing is taken from another build.
struct Build {
    folder: tempfile::TempDir,
}

impl Build {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .permissions(fs_mode(0o755))
            .tempdir()
            .unwrap();
        let build = Self { folder };
        for name in ["cache", "out", "recipes", "device"] {
            fs::create_dir(build.path(name)).unwrap();
        }
        copy(&packages(), &build.path("cache"));
        copy(&project().join("recipes/."), &build.path("recipes"));
        copy(
            &PathBuf::from(variable("OUTCROP_DEVICE_PROGRAMS")).join("."),
            &build.path("device"),
        );
        copy(&PathBuf::from(variable("OUTCROP")), &build.path("outcrop"));
        build
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self) -> Vec<String> {
        let text = |name: &str| self.path(name).display().to_string();
        let mut words = vec![
            text("outcrop"),
            "build".to_owned(),
            "--offline".to_owned(),
            text("recipes/edge.toml"),
        ];
        for (option, name) in [
            ("--output", "out"),
            ("--cache-dir", "cache"),
            ("--device-programs", "device"),
        ] {
            words.extend([option.to_owned(), text(name)]);
        }
        words
    }

    fn run(&self, command: &mut Command) -> BTreeMap<String, FileDigest> {
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        assert!(
            output.status.success(),
            "{command:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.digests()
    }

    /// Every output file with its digest.
    fn digests(&self) -> BTreeMap<String, FileDigest> {
        let files = fs::read_dir(self.path("out")).unwrap();
        let digest = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), sha256(&entry.path()))
        };
        files.map(digest).collect()
    }
}

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
    own_by_nobody(second.folder.path());
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
    own_by_nobody(unprivileged.folder.path());
    assert_no_namespaces();
    let two = unprivileged.run(without_namespaces().args(unprivileged.arguments()));
    assert_eq!(one, two);
}

/// A command that runs as nobody: no groups, no capabilities, no way to get any.
fn as_nobody() -> Command {
    let mut command = as_root("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ]);
    command.arg("--no-new-privs");
    command
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

fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

fn own_by_nobody(folder: &Path) {
    let status = as_root("chown")
        .args(["-R", "65534:65534"])
        .arg(folder)
        .status()
        .unwrap();
    assert!(status.success());
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["-r", "--"])
        .args([from, to])
        .status()
        .unwrap();
    assert!(status.success(), "copy {}", from.display());
}

fn sha256(path: &Path) -> FileDigest {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()[..64].parse().unwrap()
}

/// The packages that `cargo xtask test` fetched.
fn packages() -> PathBuf {
    let home = || Path::new(&variable("HOME")).join(".cache");
    env::var_os("XDG_CACHE_HOME")
        .map_or_else(home, PathBuf::from)
        .join("outcrop/packages")
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} isn't set: `cargo xtask test` sets it"))
}

fn fs_mode(mode: u32) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(mode)
}
