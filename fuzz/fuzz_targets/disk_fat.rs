//! Opens bytes as the parts of a FAT32 that matter, lists its folders and finds where the files lie.

#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use outcrop_release::{fat::FatReader, read_at::ReadAt};

/// Where the parts of the input lie on the volume: boot sector, start of the table, start of the clusters. The rest is zero.
const PLACES: [(u64, usize, usize); 3] = [(0, 0, 512), (4096, 512, 512), (528 * 512, 1024, usize::MAX)];

struct Volume<'a>(&'a [u8]);

impl ReadAt for Volume<'_> {
    fn len(&self) -> u64 {
        64 << 20
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let byte = |at: u64| {
            let (start, from, len) = PLACES.into_iter().rev().find(|(start, ..)| *start <= at)?;
            let index = usize::try_from(at - start).ok().filter(|index| *index < len)?;
            self.0.get(from.checked_add(index)?).copied()
        };
        buffer
            .iter_mut()
            .zip(offset..)
            .for_each(|(place, at)| *place = byte(at).unwrap_or(0));
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = FatReader::open(Volume(bytes)) else {
        return;
    };
    for folder in ["", "EFI", "EFI/Linux"] {
        for entry in reader.list(folder).unwrap_or_default().iter().take(50) {
            if entry.len < 1 << 24 {
                let _ = reader.extents(entry);
            }
        }
    }
});
