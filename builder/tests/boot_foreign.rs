//! Initramfs and UKI against tools that nobody here wrote: `cpio`, `zstd`'s own library, `objdump`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use outcrop_builder::{boot::initramfs::Initramfs, tree::content::Content};

/// What `program` prints when it reads `input`; `package` is where Debian has it.
fn run(program: &str, package: &str, args: &[&str], input: &[u8], folder: &Path) -> String {
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} (Debian package {package}): {error}"));
    child.stdin.take().expect("piped").write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn cpio_lists_and_unpacks_what_the_kernel_will() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Initramfs::new();
    archive.file("init", 0o755, Content::from(vec![7; 4097])).unwrap();
    archive.file("etc/empty", 0o640, Content::from("")).unwrap();
    archive.symlink("lib", "usr/lib").unwrap();
    archive.directory("proc", 0o555).unwrap();
    archive.character_device("dev/console", 0o600, (5, 1)).unwrap();
    let plain = archive.to_bytes().unwrap();

    let listing = run(
        "cpio",
        "cpio",
        &["--list", "--verbose", "--numeric-uid-gid", "--quiet"],
        &plain,
        folder.path(),
    );
    let lines: Vec<Vec<&str>> = listing
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let modes: Vec<(&str, &str)> = lines.iter().map(|line| (line[0], line[8])).collect();
    let console = lines
        .iter()
        .find(|line| line.last() == Some(&"dev/console"))
        .unwrap();
    assert_eq!((console[0], console[4], console[5]), ("crw-------", "5,", "1"));
    assert!(
        modes.contains(&("-rwxr-xr-x", "init")) && modes.contains(&("dr-xr-xr-x", "proc")),
        "{listing}"
    );
    assert!(
        lines.iter().all(|line| line[2] == "0" && line[3] == "0"),
        "everything is root's: {listing}"
    );

    let names = ["-i", "--quiet", "--make-directories", "init", "etc/empty", "lib"];
    run("cpio", "cpio", &names, &plain, folder.path());
    assert_eq!(fs::read(folder.path().join("init")).unwrap(), [7; 4097]);
    assert_eq!(
        fs::read_link(folder.path().join("lib")).unwrap(),
        Path::new("usr/lib")
    );
    assert_eq!(fs::read(folder.path().join("etc/empty")).unwrap(), b"");
}
