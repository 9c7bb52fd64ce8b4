//! Entries that no image can hold.

use super::*;

#[test]
fn names_that_leave_the_image_or_break_lists_are_refused() {
    for (name, reason) in [
        ("/etc/passwd", "leads out of the image"),
        ("../x", "leads out of the image"),
        ("./a/../../x", "leads out of the image"),
        ("./a/..", "leads out of the image"),
        (".//etc", "leads out of the image"),
        ("./a//b", "empty or `.` component"),
        ("././a", "empty or `.` component"),
        ("./a/./b", "empty or `.` component"),
        ("", "empty or `.` component"),
        ("./a\nb", "control character"),
    ] {
        assert_refused(TarBuilder::new().file(name, b"x").finish(), reason);
    }
    let not_utf8 = RawHeader::new(b'0', b"./caf\xe9");
    assert_refused(TarBuilder::new().entry(&not_utf8, b"").finish(), "isn't UTF-8");
    let long = format!("./{}", "d/".repeat(1100));
    assert_refused(
        TarBuilder::new()
            .long_text(b'L', &format!("./{}", "n".repeat(256)))
            .file("./x", b"")
            .finish(),
        "too long",
    );
    assert!(
        listing(deb(
            &[],
            &TarBuilder::new().long_text(b'L', &long).directory("./x").finish()
        ))
        .is_ok()
    );
    assert_refused(
        TarBuilder::new()
            .pax(&[("path", format!("./{}", "d/".repeat(2100)).as_bytes())])
            .directory("./x")
            .finish(),
        "too long",
    );
    assert_refused(
        TarBuilder::new()
            .pax(&[("path", b"./a\0b")])
            .file("./x", b"")
            .finish(),
        "control character",
    );
}

#[test]
fn a_file_below_a_link_or_file_of_the_same_package_is_refused() {
    for first in [
        TarBuilder::new().symlink("./etc", "/tmp"),
        TarBuilder::new().file("./etc", b""),
        TarBuilder::new().file("./a", b"").hard_link("./etc", "./a"),
    ] {
        assert_refused(
            first.clone().file("./etc/cron.d/x", b"").finish(),
            "which is no folder",
        );
        assert_refused(first.directory("./etc/x").finish(), "which is no folder");
    }
    let late = TarBuilder::new().file("./etc/x", b"").symlink("./etc", "/tmp");
    assert_refused(late.finish(), "/etc is there twice");
}

#[test]
fn a_path_that_is_there_twice_is_refused() {
    let one = TarBuilder::new().directory("./a").file("./a/b", b"1");
    assert_refused(one.clone().file("./a/b", b"1").finish(), "/a/b is there twice");
    assert_refused(one.clone().symlink("./a/b", "c").finish(), "/a/b is there twice");
    assert_refused(one.clone().directory("./a").finish(), "/a is there twice");
    assert_refused(one.clone().file("./a", b"").finish(), "/a is there twice");
    assert_refused(one.directory("./a/b").finish(), "/a/b is there twice");
    assert_refused(
        TarBuilder::new().directory(".").directory(".").finish(),
        "/ is there twice",
    );
    assert_refused(TarBuilder::new().symlink(".", "/etc").finish(), "top folder");
}

#[test]
fn a_folder_may_follow_what_is_in_it() {
    let late = TarBuilder::new().file("./a/b", b"").directory("./a");
    assert!(listing(deb(&[], &late.finish())).is_ok());
}

#[test]
fn hard_links_reach_earlier_files_of_the_package_only() {
    let file = TarBuilder::new()
        .directory("./d")
        .file("./a", b"")
        .symlink("./s", "a");
    for target in ["./later", "/etc/shadow", "../a", "./d", "./s", "", "./b"] {
        let archive = file.clone().hard_link("./b", target).file("./later", b"");
        assert_refused(archive.finish(), "no earlier file of the package");
    }
    let chained = file.hard_link("./b", "a").hard_link("./c", "./b");
    assert!(listing(deb(&[], &chained.finish())).is_ok());
}

#[test]
fn devices_pipes_and_unknown_types_are_refused() {
    for (flag, reason) in [
        (b'3', "/x is a device node"),
        (b'4', "/x is a device node"),
        (b'6', "/x is a FIFO"),
        (b'7', "unknown type 0x37"),
        (b'S', "unknown type 0x53"),
        (b'D', "unknown type 0x44"),
        (b'V', "unknown type 0x56"),
        (b'!', "unknown type 0x21"),
    ] {
        let header = RawHeader::new(flag, "./x");
        assert_refused(TarBuilder::new().entry(&header, b"").finish(), reason);
    }
    let sparse = TarBuilder::new().pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")]);
    assert_refused(
        sparse.file("./x", b"").finish(),
        "unknown key \"GNU.sparse.major\"",
    );
    let global = TarBuilder::new().extension(b'g', b"12 path=a/b\n");
    assert_refused(global.file("./x", b"").finish(), "belongs to no single entry");
}

#[test]
fn symbolic_links_need_a_usable_target() {
    for target in [&b""[..], b"a\nb", b"a\xff"] {
        let mut header = RawHeader::new(b'2', "./x");
        header.link = target.to_vec();
        assert_refused(TarBuilder::new().entry(&header, b"").finish(), "unusable target");
    }
    let long = TarBuilder::new().pax(&[("linkpath", "t".repeat(4096).as_bytes())]);
    assert_refused(long.symlink("./x", "y").finish(), "unusable target");
    let absolute = TarBuilder::new().symlink("./x", "/run/y");
    assert!(listing(deb(&[], &absolute.finish())).is_ok());
}

#[test]
fn only_files_have_bodies_and_owners_fit() {
    for flag in [b'1', b'2', b'5'] {
        let mut header = RawHeader::new(flag, "./x");
        header.link = b"y".to_vec();
        header.size = 512;
        assert_refused(
            TarBuilder::new().entry(&header, &[0; 512]).finish(),
            "a body of 512 bytes",
        );
    }
    for uid in ["4294967295", "4294967296"] {
        let archive = TarBuilder::new().pax(&[("uid", uid.as_bytes())]);
        assert_refused(archive.file("./x", b"").finish(), "impossible owner");
    }
}
