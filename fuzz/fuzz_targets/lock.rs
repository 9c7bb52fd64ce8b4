//! Reads text as a lock: as it is, and under a right seal, without which hardly anything gets past the digest. A lock
//! that can be read survives being written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_builder::lock::text;
use outcrop_release::digest::FileDigest;

fuzz_target!(|body: &str| {
    let _any = text::parse(body.as_bytes());
    let body = format!("{body}\n# end of lock\n");
    let sealed = format!(
        "format = 1\ndigest = \"{}\"\n{body}",
        FileDigest::of(body.as_bytes())
    );
    if let Ok(lock) = text::parse(sealed.as_bytes()) {
        let written = text::write(&lock).expect("numbers that were read fit");
        let again = text::parse(written.as_bytes()).expect("what was written can be read");
        assert_eq!(text::write(&again).expect("numbers that were read fit"), written);
    }
});
