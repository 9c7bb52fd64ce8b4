//! Takes bytes for a device's configuration, and what was kept of an earlier one. What is kept of it reads as the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::device_config::{Document, Found, Import, decide, render};

fuzz_target!(|input: &[u8]| {
    // Before the first zero stands the file, behind it what was kept.
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let bytes = parts.next().unwrap_or_default();
    let kept = parts.next().and_then(|kept| str::from_utf8(kept).ok());
    let decision = decide(&Found::File(bytes.to_vec()), kept, Import::Always);
    for range in &decision.blank {
        assert!(bytes.get(range.clone()).is_some_and(|secret| !secret.is_empty()));
    }
    if let Some(text) = &decision.keep {
        let again = Document::read_text(text)
            .expect("it was kept")
            .strict()
            .expect("all is known");
        assert_eq!(again, decision.config);
        // As it lies on partition 1 afterwards: the device knows its secrets.
        let mut blanked = bytes.to_vec();
        for range in &decision.blank {
            blanked[range.clone()].fill(b'*');
        }
        let next = decide(&Found::File(blanked), Some(text), Import::Always);
        assert_eq!((&next.config, next.problems), (&decision.config, None));
    }
    let rendered = render::render(&decision.config, &render::ReleaseFacts::default());
    for path in rendered.entries.keys() {
        assert!(
            !path.contains("..") && !path.contains('\0') && !path.starts_with('/'),
            "{path}"
        );
    }
});
