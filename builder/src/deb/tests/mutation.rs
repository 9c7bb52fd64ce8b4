//! Random damage: a package is read or refused, and reading always ends.

use proptest::prelude::*;

use super::*;

/// A small package with every kind of entry and extension header.
fn rich_package() -> Vec<u8> {
    let data = sound_archive()
        .long_text(b'L', &format!("./usr/{}", "n".repeat(150)))
        .file("./short", b"content")
        .pax(&[("path", b"./usr/pax"), ("SCHILY.xattr.user.a", b"b")])
        .file("./other", &[7; 700])
        .finish();
    ar(&[
        ("debian-binary", b"2.0\n"),
        (
            "control.tar.gz",
            &gzip(&control_tar(&[("postinst", b"#!/bin/sh\n")])),
        ),
        ("data.tar", &data),
    ])
}

fn read_all(package: Vec<u8>) -> Result<(), DebError> {
    let limits = Limits {
        data_bytes: 1 << 20,
        control_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut deb = Deb::new("sample.deb", Cursor::new(package), limits)?;
    deb.control()?;
    let mut data = deb.data()?;
    while let Some(mut entry) = data.next_entry()? {
        assert!(!entry.path().as_str().split('/').any(|part| part == ".."));
        std::io::copy(&mut entry, &mut std::io::sink()).map_err(|error| DebError::from_io(error).unwrap())?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut package = rich_package();
        for (index, byte) in changes {
            let at = index.index(package.len());
            package[at] = byte;
        }
        let _ = read_all(package);
    }

    #[test]
    fn a_cut_package_is_always_refused(length in any::<prop::sample::Index>()) {
        let package = rich_package();
        let length = length.index(package.len());
        prop_assert!(read_all(package[..length].to_vec()).is_err());
    }

    #[test]
    fn changed_header_fields_with_a_right_checksum_never_panic(
        block in any::<prop::sample::Index>(),
        changes in prop::collection::vec((0_usize..512, any::<u8>()), 1..6),
    ) {
        let mut data = sound_archive().finish();
        let at = block.index(6) * 512;
        let mut header: [u8; 512] = data[at..at + 512].try_into().unwrap();
        for (offset, byte) in changes {
            header[offset] = byte;
        }
        seal(&mut header);
        data[at..at + 512].copy_from_slice(&header);
        let _ = read_all(deb(&[], &data));
    }
}
