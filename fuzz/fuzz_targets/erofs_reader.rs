//! Opens bytes as an EROFS image, lists it, finds each path again and reads each file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_builder::erofs::Reader;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = Reader::open(bytes) else {
        return;
    };
    for entry in reader.walk().map_while(Result::ok).take(200) {
        let _ = reader.find(&entry.path);
        let _ = reader.read_entry(&entry, 1 << 20);
        if let Ok(mut file) = reader.file(&entry) {
            let _ = std::io::copy(&mut file, &mut std::io::sink());
        }
    }
});
