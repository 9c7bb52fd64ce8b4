//! Reads bytes as what a delta is made of: its manifest, its index, its directory in a bundle, and a frame's streams, which then make blocks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::{
    delta::{
        Code, DIRECTORY_BYTES, DeltaIndex, DeltaManifest, FrameStreams, OldBytes as _, Patcher,
        parse_directory,
    },
    digest::RootHash,
    manifest::Target,
};

/// What each payload holds, old and new, in bytes.
const BYTES: u64 = 300 * 4096;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = DeltaManifest::parse(bytes) {
        assert_eq!(
            DeltaManifest::parse(&manifest.to_bytes()).expect("it was written"),
            manifest
        );
    }
    if let Some(directory) = bytes.first_chunk::<DIRECTORY_BYTES>() {
        let entries = parse_directory(directory, 1 << 20).unwrap_or_default();
        assert!(entries.iter().all(|entry| entry.start + entry.bytes <= 1 << 20));
    }
    index(bytes);
    patch(bytes);
});

fn index(bytes: &[u8]) {
    let target = Target {
        bytes: BYTES,
        root_hash: RootHash::from_bytes([0; 32]),
    };
    // The data's length is what the frames say.
    for data in [0, bytes.len() as u64, 6] {
        let old = Some((&target, &target));
        let Ok(index) = DeltaIndex::decode(bytes, old, (&target, &target), data) else {
            continue;
        };
        let again = DeltaIndex::decode(&index.encode(), old, (&target, &target), data);
        assert_eq!(again.expect("it was written"), index);
    }
}

/// The first three bytes say how the rest is cut into streams.
fn patch(bytes: &[u8]) {
    let Some(([first, second, code], rest)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let code = Code::of_number(u64::from(code % 3)).unwrap_or_default();
    let cut = |part: u8| u32::try_from(rest.len() * usize::from(part) / 512).unwrap_or(0);
    let (control, difference) = (cut(*first), cut(*second));
    let extra = u32::try_from(rest.len()).unwrap_or(0) - control - difference;
    let streams = FrameStreams {
        control,
        difference,
        extra,
        code,
    };
    let old = vec![7; 5000];
    let mut old = old.as_slice();
    let mut probe = [0; 1];
    assert!(old.read(4999, &mut probe).is_ok() && old.read(5000, &mut probe).is_err());
    let mut out = vec![0; 8192];
    if let Ok(streams) = streams.decoders(rest) {
        let _bytes_or_error = Patcher::new(streams, code, 5000).fill(&mut old, &mut out);
    }
    // The same without a compressor between, which would make most inputs an error at once.
    let (control, rest) = rest.split_at(streams.control as usize);
    let (difference, extra) = rest.split_at(streams.difference as usize);
    let _bytes_or_error = Patcher::new([control, difference, extra], code, 5000).fill(&mut old, &mut out);
}
