//! Unpacking a frame behind the blocks before it.

use zstd::zstd_safe::{DCtx, DParameter};

/// Log2 of the largest window that memory is reserved for: `docs/formats.md`, "Index".
pub const FRAME_WINDOW_LOG: u32 = 20;

/// Unpacks a frame, whose digest has been checked, into the part of `window` from `prefix` on; what is before must be the bytes that
/// the payload has there. False if it doesn't give exactly as many bytes; it never gives more.
#[must_use]
pub fn unpack_frame(bytes: &[u8], window: &mut [u8], prefix: usize) -> bool {
    let Some((before, plain)) = window.split_at_mut_checked(prefix) else {
        return false;
    };
    // zstd forgets the prefix after a frame, the type doesn't.
    let Some(mut context) = DCtx::try_create() else {
        return false;
    };
    let is_ready = context
        .set_parameter(DParameter::WindowLogMax(FRAME_WINDOW_LOG))
        .and_then(|_| context.ref_prefix(before));
    is_ready.is_ok() && context.decompress(plain, bytes) == Ok(plain.len())
}

#[cfg(test)]
mod tests {
    use zstd::bulk::Compressor;

    use super::*;

    /// Bytes that compress badly.
    fn noise(len: u32) -> Vec<u8> {
        let byte = |at: u32| at.wrapping_mul(at).wrapping_mul(2_654_435_761).to_le_bytes()[3];
        (0..len).map(byte).collect()
    }

    fn pack(prefix: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(3).unwrap();
        compressor.context_mut().ref_prefix(prefix).unwrap();
        compressor.compress(plain).unwrap()
    }

    fn unpack(bytes: &[u8], prefix: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut window = [prefix, &vec![0; len]].concat();
        unpack_frame(bytes, &mut window, prefix.len()).then(|| window.split_off(prefix.len()))
    }

    #[test]
    fn a_frame_gives_its_bytes_behind_those_that_were_before_it_and_not_behind_others() {
        let prefix = noise(5000);
        let plain = [&prefix[100..4000], b"more"].concat();
        let frame = pack(&prefix, &plain);
        assert!(frame.len() < 100, "{}", frame.len());
        assert_eq!(unpack(&frame, &prefix, plain.len()), Some(plain.clone()));
        assert_eq!(unpack(&frame, &[], plain.len()), None);
        let mut other = prefix.clone();
        other[200] ^= 1;
        assert_ne!(unpack(&frame, &other, plain.len()), Some(plain.clone()));
        // More than there is room for, or less, is nothing.
        for len in [plain.len() - 1, plain.len() + 1] {
            assert_eq!(unpack(&frame, &prefix, len), None);
        }
    }

    #[test]
    fn a_prefix_that_begins_as_a_dictionary_does_is_none() {
        let prefix = [&0xec30_a437_u32.to_le_bytes()[..], &noise(5000)].concat();
        let plain = prefix[..3000].to_vec();
        let frame = pack(&prefix, &plain);
        assert_eq!(unpack(&frame, &prefix, plain.len()), Some(plain));
    }
}
