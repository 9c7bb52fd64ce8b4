//! Opens bytes as a Debian package, reads its control member and everything in its data member.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use outcrop_builder::deb::{Deb, DebError, Limits};

const LIMITS: Limits = Limits {
    control_bytes: 1 << 20,
    control_file_bytes: 1 << 18,
    data_bytes: 1 << 22,
    entries: 1000,
    decoder_memory: 16 << 20,
};

fn read(bytes: &[u8]) -> Result<(), DebError> {
    let mut deb = Deb::new("fuzzed", Cursor::new(bytes), LIMITS)?;
    if let Ok(control) = deb.control() {
        assert!(!control.package().is_empty() && !control.version().is_empty());
        let _ = control.conffiles();
    }
    let mut data = deb.data()?;
    while let Some(mut entry) = data.next_entry()? {
        assert!(entry.path().components().all(|part| part != ".." && part != "."));
        // a body that fails doesn't end the loop: the reader must stay harmless after an error
        let _ = std::io::copy(&mut entry, &mut std::io::sink());
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let _ = read(bytes);
});
