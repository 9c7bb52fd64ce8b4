//! Bad input that only real packages can show, through the whole program: the exit code, what it says, and that nothing
//! half-written is left. What needs none is in `builder/tests/bad_input`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use outcrop_builder::lock::{
    format::{Archive, LockedPackage, Role},
    text,
};
use outcrop_qemu::{
    build::{Build, run},
    host::as_root,
};
use outcrop_release::{arch::Architecture, digest::FileDigest};
use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};

/// A build of x.toml for one architecture.
struct Bench {
    build: Build,
}

impl Bench {
    /// x.toml is edge.toml with `more`; it takes edge.toml's lock, as `more` says nothing about packages.
    fn new() -> Self {
        let bench = Self { build: Build::new() };
        bench.recipe("");
        fs::copy(bench.build.path("recipes/edge.lock"), bench.lock_path()).unwrap();
        bench
    }

    fn recipe(&self, more: &str) {
        let text = format!("include = [\"edge.toml\"]\n{more}");
        fs::write(self.build.path("recipes/x.toml"), text).unwrap();
    }

    fn lock_path(&self) -> PathBuf {
        self.build.path("recipes/x.lock")
    }

    fn words(&self) -> Vec<String> {
        let mut words = self.build.arguments_for("x.toml");
        words.extend(["--arch".to_owned(), "x86_64".to_owned()]);
        words
    }

    fn command(&self) -> Command {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Checks that the build is refused with `code`, says every needle, and leaves an empty output folder.
    #[track_caller]
    fn assert_refused(&self, output: &Output, code: i32, needles: &[&str]) {
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        // Where lines are broken is of no interest.
        let words = told
            .replace('│', " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        for needle in needles {
            assert!(words.contains(needle), "{needle:?} is not in:\n{told}");
        }
        assert_eq!(names(&self.build.path("out")), [""; 0]);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn what_only_the_packages_contradict_is_shown_where_the_recipe_says_it() {
    let bench = Bench::new();
    for (more, needles) in [
        (
            "[services]\nenable = [\"shh.service\"]\n",
            ["x.toml:3:", "shh.service", "ssh.service"],
        ),
        (
            "[disk]\nroot-slot = \"64MiB\"\n",
            [
                "x.toml:3:",
                "root file system",
                "raise disk.root-slot to at least",
            ],
        ),
    ] {
        bench.recipe(more);
        bench.assert_refused(&run(&mut bench.command()), 3, &needles);
    }
    bench.recipe("");
    intrude(&bench);
    let needles = ["bash", "intruder", "usr/bin/bash"];
    bench.assert_refused(&run(&mut bench.command()), 6, &needles);
}

/// Locks a package that ships another package's file, and puts it into the cache.
fn intrude(bench: &Bench) {
    let deb = foreign_bash(&bench.build.path("intruder"));
    let bytes = fs::read(deb).unwrap();
    let sha256 = FileDigest::of(&bytes);
    let name = sha256.to_string();
    let shelf = bench.build.path("cache/packages").join(&name[..2]);
    fs::create_dir_all(&shelf).unwrap();
    fs::write(shelf.join(&name), &bytes).unwrap();
    let mut lock = text::parse(&fs::read(bench.lock_path()).unwrap()).unwrap();
    lock.packages
        .get_mut(&Architecture::X86_64)
        .unwrap()
        .push(LockedPackage {
            name: "intruder".to_owned(),
            version: "1.0".to_owned(),
            architecture: "all".to_owned(),
            role: Role::Root,
            archive: Archive::Main,
            path: "pool/main/i/intruder/intruder_1.0_all.deb".to_owned(),
            size: bytes.len() as u64,
            sha256,
            scripts: Vec::new(),
        });
    fs::write(bench.lock_path(), text::write(&lock).unwrap()).unwrap();
}

/// A package `intruder` with a /usr/bin/bash of its own.
fn foreign_bash(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder.join("DEBIAN")).unwrap();
    fs::create_dir_all(folder.join("usr/bin")).unwrap();
    fs::write(folder.join("usr/bin/bash"), "another").unwrap();
    let control = "Package: intruder\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@localhost>\nDescription: test\n";
    fs::write(folder.join("DEBIAN/control"), control).unwrap();
    let deb = folder.with_extension("deb");
    let output = run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args([folder, &deb]));
    assert!(output.status.success(), "{output:?}");
    deb
}

/// A command that runs the build in a mount namespace after `mounts`, a shell script that is told the build's folder as $1.
/// Afterwards the names in the output folder, as the build sees it, are in the file `left`.
fn with_mounts(bench: &Bench, mounts: &str) -> Command {
    let script = format!(
        "set -e; folder=$1; shift; {mounts}\nset +e; \"$@\"; code=$?; ls -A \"$folder/out\" >\"$folder/left\"; exit $code"
    );
    let mut command = as_root("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
        .arg(bench.build.path(""))
        .args(bench.words());
    command
}

/// What root made in the build's folder belongs to whoever runs the tests again.
fn give_back(bench: &Bench) {
    let owner = format!("{}:{}", geteuid().as_raw(), getegid().as_raw());
    let output = run(as_root("chown").args(["-R", &owner]).arg(bench.build.path("")));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_full_disk_names_the_folder_and_leaves_nothing_behind() {
    let bench = Bench::new();
    // the store first: with a full output folder it is filled
    let store = "mkdir \"$folder/kept\"; mount --bind \"$folder/cache/packages\" \"$folder/kept\"; \
                 mount -t tmpfs -o size=64m none \"$folder/cache\"; mkdir \"$folder/cache/packages\"; \
                 mount --bind \"$folder/kept\" \"$folder/cache/packages\"";
    let folder = bench.build.path("cache").display().to_string();
    let output = run(&mut with_mounts(&bench, store));
    give_back(&bench);
    bench.assert_refused(&output, 5, &["No space left on device", &folder, "--cache-dir"]);
    let out = "mount -t tmpfs -o size=64m none \"$folder/out\"";
    let folder = bench.build.path("out").display().to_string();
    let output = run(&mut with_mounts(&bench, out));
    give_back(&bench);
    bench.assert_refused(&output, 5, &["No space left on device", &folder, "--output"]);
    let left = fs::read_to_string(bench.build.path("left")).unwrap();
    assert_eq!(left, "", "left on the full disk");
    // with room, the same cache gives an image
    let made = bench.build.run(&mut bench.command());
    assert!(made.keys().any(|name| name.ends_with(".img")), "{made:?}");
}

/// Sends Ctrl-C to a build once `ready` says so, and checks that it ends soon.
#[track_caller]
fn assert_interrupted(bench: &Bench, ready: impl Fn() -> bool) {
    let child = bench
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !ready() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "it never came to the point"
        );
        thread::sleep(Duration::from_millis(5));
    }
    let sent = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    bench.assert_refused(&output, 130, &["interrupted"]);
    // A flush to the disk that has begun can't be interrupted, and on a busy disk it takes its time.
    assert!(sent.elapsed() < Duration::from_secs(90), "{:?}", sent.elapsed());
}

/// Whether an image is being written there.
fn has_a_large_file(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).unwrap();
    entries.any(|entry| entry.unwrap().metadata().is_ok_and(|found| found.len() > 1 << 20))
}

#[test]
#[ignore = "the soak's: the store's own tests kill importers for every change"]
fn builds_that_were_interrupted_leave_a_cache_that_gives_the_same_bytes_as_a_new_one() {
    let bench = Bench::new();
    let objects = bench.build.path("cache/store/objects");
    assert_interrupted(&bench, || {
        fs::read_dir(&objects).is_ok_and(|found| found.count() > 100)
    });
    let out = bench.build.path("out");
    assert_interrupted(&bench, || has_a_large_file(&out));
    let after = bench.build.run(&mut bench.command());
    let fresh = Bench::new();
    assert_eq!(after, fresh.build.run(&mut fresh.command()));
}

/// `[kubernetes]` with `file` for its program.
fn kubernetes(file: &Path, sha256: &FileDigest) -> String {
    let binary = |arch| {
        format!(
            "[kubernetes.binary.{arch}]\nfile = {:?}\nsha256 = \"{sha256}\"\n",
            file.display().to_string()
        )
    };
    format!(
        "[kubernetes]\ndistribution = \"custom\"\nversion = \"1.20.2\"\n{}{}[kubernetes.custom]\npath = \"/usr/bin/kube\"\n\
         units = [\"kube.service\"]\n[[files]]\npath = \"/usr/lib/systemd/system/kube.service\"\n\
         content = \"[Service]\\nExecStart=/usr/bin/kube\\n[Install]\\nWantedBy=multi-user.target\\n\"\n",
        binary("x86_64"),
        binary("aarch64"),
    )
}

#[test]
fn a_kubernetes_that_is_absent_another_file_no_program_or_for_another_processor_is_refused_and_the_right_one_is_in_the_image()
 {
    let bench = Bench::new();
    let program = |arch: &str| bench.build.path("device").join(arch).join("outcrop-updater");
    let digest = |path: &Path| FileDigest::of(&fs::read(path).unwrap());
    let script = bench.build.path("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let (own, foreign) = (program("x86_64"), program("aarch64"));
    let absent = bench.build.path("absent");
    for (file, sha256, told) in [
        (&own, FileDigest::of(b"other"), "and the recipe says"),
        (&script, digest(&script), "it is no program"),
        (&foreign, digest(&foreign), "can't run on a device of x86_64"),
        (&absent, FileDigest::of(b"other"), "there is no "),
    ] {
        bench.recipe(&kubernetes(file, &sha256));
        let output = run(&mut bench.command());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains(told) && stderr.contains("help:"), "{stderr}");
        assert!(bench.build.digests().is_empty(), "nothing is left");
    }
    bench.recipe(&kubernetes(&own, &digest(&own)));
    bench.build.run(&mut bench.command());
    let image = bench.build.path("out").join("edge-0.1.0-x86_64-efi.img");
    let mut inspect = Command::new(bench.build.path("outcrop"));
    let files = run(inspect.arg("inspect").arg("--files").arg(&image));
    let listed = String::from_utf8_lossy(&files.stdout).into_owned();
    for path in [
        "/usr/bin/kube",
        "/etc/systemd/system/multi-user.target.wants/kube.service",
    ] {
        assert!(listed.lines().any(|line| line.contains(path)), "{path}");
    }
    let bill = fs::read_to_string(image.with_extension("cdx.json")).unwrap();
    assert!(bill.contains("\"outcrop:usr/bin/kube\""));
}
