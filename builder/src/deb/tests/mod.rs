//! Whole packages, sound and hostile.

mod archive;
mod container;
mod control;
mod entries;
mod interop;
mod mutation;

use std::io::{Cursor, Read as _};

use super::{testing::*, *};

/// What a data member was found to hold: `path kind mode uid:gid content`.
fn listing(package: Vec<u8>) -> Result<Vec<String>, DebError> {
    let mut deb = Deb::new("sample.deb", Cursor::new(package), Limits::default())?;
    let mut data = deb.data()?;
    let mut lines = Vec::new();
    while let Some(mut entry) = data.next_entry()? {
        let mut content = String::new();
        entry
            .read_to_string(&mut content)
            .map_err(|error| DebError::from_io(error).unwrap())?;
        let meta = entry.metadata();
        let line = format!(
            "{} {:?} {:o} {}:{} {content}",
            entry.path(),
            entry.node(),
            meta.mode,
            meta.uid,
            meta.gid
        );
        lines.push(line.trim_end().to_owned());
    }
    Ok(lines)
}

fn sound_archive() -> TarBuilder {
    TarBuilder::new()
        .directory(".")
        .directory("./usr")
        .directory("./usr/bin")
        .file_with("./usr/bin/tool", 0o4754, 0, 104, b"#!")
        .hard_link("./usr/bin/twin", "./usr/bin/tool")
        .symlink("./usr/bin/link", "../../etc/tool")
}

const SOUND: [&str; 6] = [
    "/ Directory 755 0:0",
    "/usr Directory 755 0:0",
    "/usr/bin Directory 755 0:0",
    "/usr/bin/tool File { size: 2 } 4754 0:104 #!",
    "/usr/bin/twin HardLink(/usr/bin/tool) 777 0:0",
    "/usr/bin/link Symlink(\"../../etc/tool\") 777 0:0",
];

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn refusal(package: Vec<u8>) -> String {
    chain(&listing(package).expect_err("must be refused"))
}

/// Checks that a data archive is refused, that the error names package and member, and says `reason`.
#[track_caller]
fn assert_refused(archive: Vec<u8>, reason: &str) {
    let message = refusal(deb(&[], &archive));
    assert!(
        message.starts_with("read data.tar of package sample.deb: "),
        "{message}"
    );
    assert!(message.contains(reason), "{message:?} doesn't say {reason:?}");
}

#[test]
fn a_sound_package_gives_the_same_entries_in_every_compression() {
    let data = sound_archive().finish();
    let control = control_tar(&[("postinst", b"#!/bin/sh\n")]);
    let packed = [
        ("", control.clone(), data.clone()),
        (".gz", gzip(&control), gzip(&data)),
        (".xz", xz(&control), xz(&data)),
        (".zst", zstd(&control), zstd(&data)),
    ];
    for (extension, control, data) in packed {
        let package = ar(&[
            ("debian-binary", b"2.0\n"),
            (&format!("control.tar{extension}"), &control),
            (&format!("data.tar{extension}"), &data),
        ]);
        assert_eq!(listing(package.clone()).unwrap(), SOUND, "{extension}");
        let mut deb = Deb::new("sample.deb", Cursor::new(package), Limits::default()).unwrap();
        let control = deb.control().unwrap();
        assert_eq!((control.package(), control.version()), ("sample", "1.0"));
        assert_eq!(control.file("postinst"), Some(&b"#!/bin/sh\n"[..]));
    }
}
