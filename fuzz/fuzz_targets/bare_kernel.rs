//! Takes the entropy coding off bytes taken for a zstd frame, and puts it on bytes taken for a bare form: in pieces it comes to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::bare::{BareEncoder, MAX_CHUNK_BYTES, bare};

fuzz_target!(|bytes: &[u8]| {
    let mut form = Vec::new();
    let found = bare(bytes, |chunk| {
        assert!(chunk.bytes.len() <= MAX_CHUNK_BYTES && chunk.sequences <= chunk.bytes.len());
        form.extend(chunk.bytes);
        Ok(())
    });
    if found.is_ok() {
        // Another frame may come of it, since nothing says that zstd made this one; but one with the same bare form.
        let (frame, is_made) = encoded(&form, form.len().max(1));
        if is_made {
            let mut again = Vec::new();
            let found = bare(frame.as_slice(), |chunk| {
                again.extend(chunk.bytes);
                Ok(())
            });
            assert!(found.is_err() || again == form);
        }
    }
    let whole = encoded(bytes, bytes.len().max(1));
    assert!(encoded(bytes, 7) == whole || !whole.1);
});

/// What comes of a bare form that is pushed in pieces, and whether it is a whole frame.
fn encoded(form: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let (mut encoder, mut made) = (BareEncoder::default(), Vec::new());
    let result = form
        .chunks(piece)
        .try_for_each(|bytes| encoder.push(bytes, &mut made));
    (made, result.is_ok() && encoder.is_complete())
}
