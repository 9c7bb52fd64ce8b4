//! Looks for the compressed kernel in bytes taken for a boot payload, unpacks it, and reads bytes as a recipe for repacking.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::packed::{FrameHeader, PackedKernel, Packer, PlainLen, Recipe, unpack};

/// Longest kernel that is unpacked here, in bytes.
const MAX_BYTES: u32 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = PackedKernel::find(bytes) {
        let place = usize::try_from(found.frame.start).expect("it lies inside")
            ..usize::try_from(found.frame.end()).expect("it lies inside");
        let frame = bytes.get(place).expect("it lies inside");
        FrameHeader::parse(frame).expect("it was looked at");
        unpack_small(frame, found.plain_len);
    }
    let _ = PlainLen::new(MAX_BYTES).map(|len| unpack(bytes, len));
    if let Ok(recipe) = serde_json::from_slice::<Recipe>(bytes) {
        let text = serde_json::to_vec(&recipe).expect("a recipe can be written");
        assert_eq!(
            serde_json::from_slice::<Recipe>(&text).expect("it was written"),
            recipe
        );
        assert!((80 << 20..1 << 30).contains(&recipe.memory_bytes()));
        // One that can be followed takes too much memory and time here.
        if recipe.check_library().is_err() {
            assert!(Packer::new(&recipe, Vec::new()).is_err());
        }
    }
});

/// Longer ones take their memory before it is known whether they are what they say.
fn unpack_small(frame: &[u8], len: PlainLen) {
    if len.bytes() > MAX_BYTES {
        return;
    }
    if let Ok(plain) = unpack(frame, len) {
        assert_eq!(u32::try_from(plain.len()), Ok(len.bytes()));
    }
}
