//! Packages and archives that programs nobody here wrote have made: `dpkg-deb` (package dpkg) and GNU `tar`.

use std::{fs, path::Path, process::Command};

use super::*;

fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; install dpkg and tar"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A folder with a long name, a hard link, a symbolic link and a setuid file.
fn fill(root: &Path) {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let deep = root.join("usr").join("d".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("tool"), "#!/bin/sh\n".repeat(500)).unwrap();
    fs::set_permissions(deep.join("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(deep.join("tool"), deep.join("twin")).unwrap();
    symlink("t".repeat(130), deep.join("link")).unwrap();
    for folder in [root, &root.join("usr"), &deep] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn summary(package: Vec<u8>) -> Vec<String> {
    let mut lines: Vec<String> = listing(package)
        .unwrap()
        .into_iter()
        .map(|line| {
            line.replace(&"#!/bin/sh\n".repeat(500), "BODY")
                .replace(" #!/bin/sh", " BODY")
        })
        .map(|line| line.replace(&"d".repeat(120), "D").replace(&"t".repeat(130), "T"))
        .map(|line| {
            line.split_once(" BODY")
                .map_or(line.clone(), |(start, _)| format!("{start} BODY"))
        })
        .collect();
    lines.sort();
    lines
}

/// Which of the two names is the file and which the link depends on the order of the folder.
fn assert_is_filled(lines: &[String]) {
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert_eq!(
        lines[..3],
        [
            "/ Directory 755 0:0",
            "/usr Directory 755 0:0",
            "/usr/D Directory 755 0:0"
        ]
    );
    assert_eq!(lines[3], "/usr/D/link Symlink(\"T\") 777 0:0");
    let pair = [&lines[4], &lines[5]].map(|line| line.trim_start_matches("/usr/D/"));
    let expected = [
        [
            "tool File { size: 5000 } 4755 0:0 BODY",
            "twin HardLink(/usr/D/tool) 4755 0:0",
        ],
        [
            "tool HardLink(/usr/D/twin) 4755 0:0",
            "twin File { size: 5000 } 4755 0:0 BODY",
        ],
    ];
    assert!(expected.contains(&pair), "{pair:?}");
}

#[test]
fn packages_made_by_dpkg_deb_read_back_whole_in_every_compression() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fill(&root);
    fs::write(root.join("DEBIAN/control"), SAMPLE_CONTROL).unwrap();
    for compression in ["none", "gzip", "xz", "zstd"] {
        let package = folder.path().join("x.deb");
        run(Command::new("dpkg-deb")
            .args([
                "--root-owner-group",
                "--uniform-compression",
                "-Z",
                compression,
                "--build",
            ])
            .args([&root, &package]));
        let bytes = fs::read(&package).unwrap();
        assert_is_filled(&summary(bytes));
        let control = Deb::open(&package, Limits::default()).unwrap().control().unwrap();
        assert_eq!(control.field("description"), Some("a sample\nIt does nothing."));
    }
}

#[test]
fn archives_made_by_gnu_tar_read_back_whole_in_every_format_that_can_hold_them() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    for format in ["gnu", "posix"] {
        let data = run(Command::new("tar")
            .args([
                "--create",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--format",
                format,
            ])
            .arg("--directory")
            .args([folder.path(), Path::new(".")]));
        assert_is_filled(&summary(deb(&[], &data)));
    }
}

#[test]
fn old_archive_formats_without_long_names_read_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a".repeat(90)).join("b".repeat(20));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "x").unwrap();
    let inner = folder.path().join("a".repeat(90));
    for (format, start) in [
        ("ustar", folder.path()),
        ("oldgnu", folder.path()),
        ("v7", &inner),
    ] {
        let data = run(Command::new("tar")
            .args(["--create", "--format", format, "--directory"])
            .args([start, Path::new(".")]));
        let lines = listing(deb(&[], &data)).unwrap();
        assert!(
            lines.iter().any(|line| line.contains("/file File { size: 1 }")),
            "{format}: {lines:?}"
        );
    }
}
