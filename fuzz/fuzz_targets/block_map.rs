//! Reads bytes as a block map. What can be read survives being written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_builder::disk::image::BlockMap;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(map) = BlockMap::parse(bytes) {
        assert!(map.mapped_bytes() <= map.image_bytes.next_multiple_of(4096));
        let again = BlockMap::parse(map.to_xml().as_bytes()).expect("it was written");
        assert_eq!(again, map);
    }
});
