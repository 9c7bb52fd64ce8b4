//! Reads bytes as a device's history.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::{
    journal::{parse_line, verify},
    trust::PublicKey,
};

fuzz_target!(|bytes: &[u8]| {
    let key: PublicKey = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        .parse()
        .expect("a point of the curve");
    if let Ok(verified) = verify(bytes, &key) {
        // Nobody signs what a fuzzer makes up.
        assert!(verified.entries.is_empty() && verified.torn == bytes.len());
    }
    assert!(parse_line(bytes, &key).is_err());
});
