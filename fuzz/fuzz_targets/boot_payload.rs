//! Reads bytes as a unified kernel image, and its command line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_builder::boot::uki::UkiFacts;
use outcrop_release::cmdline::CommandLine;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(facts) = UkiFacts::read(bytes) {
        let _ = CommandLine::parse(&facts.command_line).root_hash();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = CommandLine::parse(text).root_hash();
    }
});
