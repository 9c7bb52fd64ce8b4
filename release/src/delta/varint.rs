//! Whole numbers in as few bytes as they need: LEB128. Source: DWARF 5, section 7.6.

use std::io::{self, Read};

/// Longest form of 64 bits.
const MAX_BYTES: u32 = 10;

/// Appends `value`.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a number that may be negative: small ones of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// The next number.
///
/// # Errors
/// The reader's; [`io::ErrorKind::InvalidData`] when it has more than 64 bits.
pub(super) fn get(from: &mut impl Read) -> io::Result<u64> {
    let mut value = 0_u64;
    for place in 0..MAX_BYTES {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        let low = u64::from(byte[0] & 0x7f);
        let shifted = low << (7 * place);
        if shifted >> (7 * place) != low {
            break;
        }
        value |= shifted;
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The next number that may be negative.
///
/// # Errors
/// As [`get`].
pub(super) fn get_signed(from: &mut impl Read) -> io::Result<i64> {
    let value = get(from)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// The next number of 32 bits.
///
/// # Errors
/// As [`get`], and when it is larger.
pub(super) fn get_u32(from: &mut impl Read) -> io::Result<u32> {
    u32::try_from(get(from)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_survives_being_written_and_read(value: u64, signed: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            put_signed(&mut bytes, signed);
            let mut from = bytes.as_slice();
            prop_assert_eq!(get(&mut from).unwrap(), value);
            prop_assert_eq!(get_signed(&mut from).unwrap(), signed);
            prop_assert!(from.is_empty());
        }

        #[test]
        fn any_bytes_are_a_number_or_an_error(bytes: Vec<u8>) {
            let _number_or_error = get(&mut bytes.as_slice());
        }
    }

    #[test]
    fn small_numbers_of_either_sign_are_one_byte_and_more_than_64_bits_are_refused() {
        for value in [-64, -1, 0, 63] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            assert_eq!(bytes.len(), 1, "{value}");
        }
        let mut long = vec![0xff; 9];
        long.push(2);
        assert!(get(&mut long.as_slice()).is_err());
        assert!(get(&mut [0xff; 20].as_slice()).is_err());
        assert!(get(&mut [0x80].as_slice()).is_err(), "cut");
        assert!(get_u32(&mut [0xff, 0xff, 0xff, 0xff, 0x1f].as_slice()).is_err());
    }
}
