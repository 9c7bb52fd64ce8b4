//! Reads bytes as a device's report.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::report::{Report, verify_report};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = Report::parse(bytes) {
        assert_eq!(Report::parse(&report.to_bytes()).expect("it was written"), report);
        assert!(!report.file_name().contains('/'));
    }
    // Nobody signs what a fuzzer makes up.
    assert!(verify_report(bytes).is_err());
});
