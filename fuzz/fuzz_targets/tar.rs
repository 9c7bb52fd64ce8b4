//! Reads bytes as the tar archive of a data member. Header checksums are made right first: no fuzzer guesses them.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use outcrop_builder::deb::{
    Deb, Limits,
    tar::BLOCK_BYTES,
    testing::{deb, seal},
};

/// Makes every block that isn't all zeros a header with a right checksum; bodies are changed by that, and that is fine.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    for block in archive.chunks_exact_mut(BLOCK_BYTES) {
        if let Ok(block) = <&mut [u8; BLOCK_BYTES]>::try_from(block)
            && block.iter().any(|byte| *byte != 0)
        {
            seal(block);
        }
    }
    archive
}

fn read(archive: &[u8]) {
    let limits = Limits {
        data_bytes: 1 << 22,
        ..Limits::default()
    };
    let Ok(mut package) = Deb::new("fuzzed", Cursor::new(deb(&[], archive)), limits) else {
        return;
    };
    let Ok(mut data) = package.data() else {
        return;
    };
    while let Ok(Some(mut entry)) = data.next_entry() {
        assert!(entry.path().components().all(|part| part != ".." && part != "."));
        let _ = std::io::copy(&mut entry, &mut std::io::sink());
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&with_checksums(bytes));
});
