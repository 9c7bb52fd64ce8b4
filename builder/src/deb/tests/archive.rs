//! Damaged and odd tar archives.

use super::*;

#[test]
fn oversized_extension_headers_are_refused_before_they_are_read() {
    for flag in [b'x', b'L', b'K'] {
        let mut header = RawHeader::new(flag, "x");
        header.size = 1 << 40; // nothing follows: reading or allocating it would fail otherwise
        assert_refused(TarBuilder::new().entry(&header, b"").unfinished(), "is too long");
    }
    let twice = TarBuilder::new().long_text(b'L', "./a").long_text(b'L', "./b");
    assert_refused(twice.file("./x", b"").finish(), "belongs to no single entry");
    let pax = TarBuilder::new().pax(&[("uid", b"1")]);
    assert_refused(
        pax.clone().pax(&[("gid", b"1")]).file("./x", b"").finish(),
        "belongs to no single entry",
    );
    assert_refused(pax.finish(), "belongs to no single entry");
    assert_refused(
        TarBuilder::new()
            .extension(b'L', b"./no-end")
            .file("./x", b"")
            .finish(),
        "belongs to no single entry",
    );
}

#[test]
fn extension_headers_change_the_next_entry_only() {
    let long = format!("./{}", "n".repeat(200));
    let archive = TarBuilder::new()
        .long_text(b'L', &long)
        .file("./short", b"1")
        .long_text(b'K', &long)
        .hard_link("./a", "./short")
        .pax(&[
            ("path", b"./p"),
            ("uid", b"70000"),
            ("mtime", b"1.5"),
            ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\n"),
        ])
        .file("./q", b"2")
        .file("./r", b"3");
    let package = deb(&[], &archive.finish());
    let lines = listing(package.clone()).unwrap();
    assert_eq!(
        lines[0],
        format!("/{} File {{ size: 1 }} 644 0:0 1", "n".repeat(200))
    );
    assert_eq!(lines[1], format!("/a HardLink(/{}) 777 0:0", "n".repeat(200)));
    assert_eq!(
        lines[2..],
        [
            "/p File { size: 1 } 644 70000:0 2",
            "/r File { size: 1 } 644 0:0 3"
        ]
    );
    let mut deb = Deb::new("x", Cursor::new(package), Limits::default()).unwrap();
    let mut data = deb.data().unwrap();
    data.next_entry().unwrap();
    data.next_entry().unwrap();
    let entry = data.next_entry().unwrap().unwrap();
    assert_eq!(entry.metadata().xattrs["security.capability"], b"\x01\0\0\x02\n");
}

#[test]
fn sizes_that_overflow_and_truncated_bodies_are_refused() {
    for size in [1 << 20, 1 << 40, u64::MAX] {
        let mut header = RawHeader::new(b'0', "./x");
        header.size = size;
        assert_refused(
            TarBuilder::new().entry(&header, &[1; 512]).unfinished(),
            "truncated after \"./x\"",
        );
    }
    let sound = sound_archive().finish();
    for length in (0..sound.len() - 511).step_by(256) {
        let message = refusal(deb(&[], &sound[..length]));
        assert!(message.contains("is truncated"), "{length}: {message}");
    }
}

#[test]
fn a_changed_header_byte_or_anything_after_the_end_is_refused() {
    let sound = sound_archive().finish();
    let mut changed = sound.clone();
    changed[512 + 5] ^= 1;
    assert_refused(changed, "checksum is wrong");
    let behind = [&sound[..], &[0; 512], b"x"].concat();
    assert_refused(behind, "after the end");
    let single_zero_block = TarBuilder::new().file("./a", b"").raw(&[0; 512]).file("./b", b"");
    assert_refused(single_zero_block.finish(), "after the end");
    assert!(listing(deb(&[], &[&sound[..], &[0; 9000]].concat())).is_ok());
}
