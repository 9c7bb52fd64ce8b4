//! Reads sectors as the two copies of a boot record: as they are, and with a right sum.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::bootrec::{BootRecord, Copies, RECORD_BYTES};

fn read(one: &[u8; RECORD_BYTES], two: &[u8; RECORD_BYTES]) {
    let copies = Copies::read([one, two]);
    let next = copies.next_copy().unwrap_or(usize::MAX);
    if let Some(found) = copies.newest() {
        assert_ne!(found.copy, next);
        assert_eq!(BootRecord::decode(&found.record.encode()), Ok(found.record));
    }
}

/// A right sum: no fuzzer guesses one.
fn sealed(mut sector: [u8; RECORD_BYTES]) -> [u8; RECORD_BYTES] {
    let sum = crc32fast::hash(&sector[..508]);
    sector[508..].copy_from_slice(&sum.to_le_bytes());
    sector
}

fuzz_target!(|sectors: [[u8; RECORD_BYTES]; 2]| {
    let [one, two] = sectors;
    read(&one, &two);
    read(&sealed(one), &sealed(two));
});
