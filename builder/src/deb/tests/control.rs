//! Control members.

use super::*;

#[test]
fn control_members_hold_plain_bounded_files_and_one_paragraph() {
    let control = |files: &[(&str, &[u8])]| deb(files, &TarBuilder::new().finish());
    let with_text = |text: &str| control(&[("control", text.as_bytes())]);
    let raw = |archive: TarBuilder| {
        ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar", &archive.finish()),
            ("data.tar", &TarBuilder::new().finish()),
        ])
    };
    let limits = Limits {
        control_file_bytes: 1000,
        ..Limits::default()
    };
    for (package, reason) in [
        (raw(TarBuilder::new()), "no file `control`"),
        (
            raw(TarBuilder::new().symlink("./control", "/etc/passwd")),
            "no plain file",
        ),
        (raw(TarBuilder::new().directory("./sub")), "no plain file"),
        (raw(TarBuilder::new().file("../control", b"")), "no plain file"),
        (raw(TarBuilder::new().file("./sub/control", b"")), "no plain file"),
        (
            raw(TarBuilder::new().file("./a", b"").file("a", b"")),
            "there twice",
        ),
        (control(&[("md5sums", &[b'x'; 1001])]), "1000 are the most"),
        (with_text(""), "one paragraph"),
        (with_text("Package: a\n\nPackage: b\n"), "one paragraph"),
        (with_text("no field\n"), "one paragraph"),
        (
            with_text("Package: a\nArchitecture: all\n"),
            "field Version is missing",
        ),
        (
            with_text("Package: A b\nVersion: 1\nArchitecture: all\n"),
            "field Package is missing",
        ),
        (
            with_text("Package: a\nVersion: x\nArchitecture: all\n"),
            "field Version is missing",
        ),
        (
            with_text("Package: a\nPackage: b\nVersion: 1\nArchitecture: all\n"),
            "field Package is missing",
        ),
        (control(&[("control", b"Package: \xff\n")]), "isn't UTF-8"),
    ] {
        let mut deb = Deb::new("sample.deb", Cursor::new(package), limits).unwrap();
        let message = chain(&deb.control().unwrap_err());
        assert!(
            message.starts_with("read control.tar of package sample.deb: ") && message.contains(reason),
            "{message:?} doesn't say {reason:?}"
        );
    }
}

#[test]
fn conffiles_are_absolute_paths_with_an_optional_flag() {
    let read = |text: &str| {
        let package = deb(&[("conffiles", text.as_bytes())], &TarBuilder::new().finish());
        let mut deb = Deb::new("sample.deb", Cursor::new(package), Limits::default()).unwrap();
        deb.control().unwrap().conffiles()
    };
    let conffile = |path: &str, remove_on_upgrade| Conffile {
        path: path.to_owned(),
        remove_on_upgrade,
    };
    assert_eq!(
        read("/etc/a\nremove-on-upgrade /etc/b\n").unwrap(),
        [conffile("/etc/a", false), conffile("/etc/b", true)]
    );
    assert_eq!(read("").unwrap(), []);
    assert_eq!(read("etc/a\n"), Err(ControlError::Conffile("etc/a".to_owned())));
}
