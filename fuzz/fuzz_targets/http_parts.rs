//! Reads a web server's answer of several parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_updater::install::parts;

fuzz_target!(|bytes: &[u8]| {
    let _ = parts::fuzz(bytes);
});
