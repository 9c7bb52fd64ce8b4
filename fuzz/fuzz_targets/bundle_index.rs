//! Reads bytes as the frame table of a release whose sizes are whatever the table adds up to, and as the headers around it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::{
    bundle::{Index, IndexError, MemberName, parse_header},
    manifest::Manifest,
};

const MANIFEST: &[u8] = include_bytes!("../seeds/manifest/manifest.json");

fuzz_target!(|bytes: &[u8]| {
    if let Some(header) = bytes.first_chunk::<512>() {
        for name in MemberName::ALL {
            let _any = parse_header(name, header);
        }
    }
    let mut manifest = Manifest::parse(MANIFEST).expect("the seed is a manifest");
    // Each reading's error tells what the next sum would have to be: there are four.
    for _ in 0..5 {
        match Index::decode(bytes, &manifest) {
            Ok(index) => {
                assert_eq!(index.encode(), bytes);
                let (blocks, _) = index.root.totals();
                assert!(blocks == 0 || index.root.frame_of(blocks - 1).is_some());
                assert_eq!(index.root.frame_of(blocks), None);
                return;
            }
            Err(IndexError::Sum {
                payload, unit, found, ..
            }) => {
                let boot = payload == "boot payload";
                let (target, member) = if boot {
                    (&mut manifest.boot, &mut manifest.members.boot)
                } else {
                    (&mut manifest.root, &mut manifest.members.root)
                };
                match unit {
                    "blocks" => target.bytes = found * 4096,
                    _ => member.bytes = found,
                }
            }
            Err(_) => return,
        }
    }
    panic!("the sums were made right");
});
