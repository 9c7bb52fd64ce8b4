//! Reads bytes as a unified kernel image, as U-Boot's file of kernel arguments, and their command lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_builder::boot::uki::UkiFacts;
use outcrop_release::{cmdline::CommandLine, uboot};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(facts) = UkiFacts::read(bytes) {
        let _ = CommandLine::parse(&facts.command_line).root_hash();
    }
    if let Some(arguments) = uboot::arguments_of(bytes) {
        assert_eq!(uboot::arguments_file(arguments), bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = CommandLine::parse(text).root_hash();
    }
});
