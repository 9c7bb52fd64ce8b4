//! Reads bytes as the start of a disk with a partition table; its checksums are made right first, so that the fields behind
//! them are reached.

#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use outcrop_builder::{disk::gpt::Gpt, read_at::ReadAt};

/// The bytes, and zeros behind them.
struct Disk(Vec<u8>);

impl ReadAt for Disk {
    fn len(&self) -> u64 {
        1 << 40
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..))
            .unwrap_or_default();
        buffer.fill(0);
        buffer
            .iter_mut()
            .zip(rest)
            .for_each(|(place, byte)| *place = *byte);
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Gpt::read(&Disk(bytes.to_vec()));
    let mut fixed = bytes.to_vec();
    fixed.resize(34 * 512, 0);
    let entries = crc32fast::hash(&fixed[1024..]);
    fixed[600..604].copy_from_slice(&entries.to_le_bytes());
    fixed[528..532].fill(0);
    let header = crc32fast::hash(&fixed[512..604]);
    fixed[528..532].copy_from_slice(&header.to_le_bytes());
    let _ = Gpt::read(&Disk(fixed));
});
