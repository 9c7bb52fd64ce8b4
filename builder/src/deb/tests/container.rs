//! Damaged and odd containers and compressed members.

use super::*;

#[test]
fn the_container_has_three_members_in_order_and_nothing_else() {
    let control = control_tar(&[]);
    let data = sound_archive().finish();
    let version = ("debian-binary", &b"2.0\n"[..]);
    let (control, data) = (("control.tar", &control[..]), ("data.tar", &data[..]));
    for (members, reason) in [
        (&[control, data][..], "control.tar where debian-binary belongs"),
        (&[version, data, control], "data.tar where control.tar belongs"),
        (&[version, control], "no data.tar member"),
        (&[version], "no control.tar member"),
        (&[], "no debian-binary member"),
        (
            &[version, control, control, data],
            "control.tar where data.tar belongs",
        ),
        (&[version, control, data, data], "data.tar where the end belongs"),
        (
            &[version, ("extra", b""), control, data],
            "extra where control.tar belongs",
        ),
        (
            &[version, control, data, ("extra", b"")],
            "extra where the end belongs",
        ),
        (&[("debian-binary", b"3.0\n"), control, data], "not a version 2"),
        (&[("debian-binary", b"2.0"), control, data], "not a version 2"),
        (&[("debian-binary", b"2.x\n"), control, data], "not a version 2"),
        (&[version, ("control.tar.bz2", b""), data], "unknown compression"),
        (&[version, control, ("data.tar.lzma", b"")], "unknown compression"),
        (&[version, ("", b"x"), control, data], "malformed name"),
    ] {
        let message = refusal(ar(members));
        assert!(
            message.starts_with("read the container of package sample.deb: ") && message.contains(reason),
            "{message:?} doesn't say {reason:?}"
        );
    }
    let ignored = ("_gpgorigin", &b"sig"[..]);
    for members in [
        &[version, ignored, control, ignored, data, ignored][..],
        &[("debian-binary", b"2.1\nmore\n"), control, data],
    ] {
        assert_eq!(listing(ar(members)).unwrap(), SOUND);
    }
}

#[test]
fn a_container_that_is_cut_padded_or_lies_about_sizes_is_refused() {
    let sound = deb(&[], &sound_archive().finish());
    for length in [0, 7, 8, 30, 68, 71, 72, 100, 132, 500, sound.len() - 1] {
        refusal(sound[..length].to_vec());
    }
    for (behind, reason) in [
        (&b"\n"[..], "1 bytes after the last whole member"),
        (&[0; 59], "59 bytes after the last whole member"),
        (&[0; 60], "is malformed"),
        (&ar_header("_x", "1"), "is truncated"),
        (&ar_header("_x", "9999999999"), "is truncated"),
        (&ar_header("_x", "-1"), "is malformed"),
        (&ar_header("_x", ""), "is malformed"),
        (&ar_header("_x", "0x0"), "is malformed"),
        (&[&ar_header("_x", "1")[..], b"ab"].concat(), "isn't padded"),
        (&[&ar_header("_x", "1")[..], b"a"].concat(), "isn't padded"),
        (&ar_header("_x", "0").repeat(14), "more than 16 members"),
    ] {
        let message = refusal([&sound[..], behind].concat());
        assert!(message.contains(reason), "{message:?} doesn't say {reason:?}");
    }
    assert!(refusal(b"PK\x03\x04 and so on".to_vec()).contains("doesn't start as an ar archive"));
}

#[test]
fn damaged_cut_and_followed_compressed_members_are_refused() {
    let data = sound_archive().finish();
    type Packer = fn(&[u8]) -> Vec<u8>;
    let packers: [(&str, Packer); 3] = [("gz", gzip), ("xz", xz), ("zst", zstd)];
    for (extension, pack) in packers {
        let packed = pack(&data);
        let package = |data: &[u8]| {
            ar(&[
                ("debian-binary", b"2.0\n"),
                ("control.tar", &control_tar(&[])),
                (&format!("data.tar.{extension}"), data),
            ])
        };
        let mut flipped = packed.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        for damaged in [
            flipped,
            packed[..packed.len() - 1].to_vec(),
            packed[..middle].to_vec(),
            [&packed[..], b"garbage!"].concat(),
            Vec::new(),
        ] {
            let message = refusal(package(&damaged));
            assert!(
                message.starts_with(&format!("read data.tar.{extension} of package sample.deb: ")),
                "{message}"
            );
        }
        let half = data.len() / 2;
        let two_streams = [pack(&data[..half]), pack(&data[half..])].concat();
        assert_eq!(listing(package(&two_streams)).unwrap(), SOUND, "{extension}");
    }
}

#[test]
fn expansion_entries_and_decoder_memory_are_limited() {
    let zeros = TarBuilder::new().file("./zeros", &vec![0; 1 << 20]).finish();
    let open = |limits| {
        let package = ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar", &control_tar(&[])),
            ("data.tar.xz", &xz(&zeros)),
        ]);
        Deb::new("sample.deb", Cursor::new(package), limits).unwrap()
    };
    let drain = |mut deb: Deb<_>| -> Result<(), DebError> {
        let mut data = deb.data()?;
        while data.next_entry()?.is_some() {}
        Ok(())
    };
    let default = Limits::default();
    for (limits, reason) in [
        (
            Limits {
                data_bytes: 1 << 20,
                ..default
            },
            "more than 1048576 bytes",
        ),
        (
            Limits {
                entries: 0,
                ..default
            },
            "more than 0 entries",
        ),
        (
            Limits {
                decoder_memory: 1 << 20,
                ..default
            },
            "decompress",
        ),
    ] {
        let message = chain(&drain(open(limits)).unwrap_err());
        assert!(message.contains(reason), "{message:?} doesn't say {reason:?}");
    }
    drain(open(default)).unwrap();
}
