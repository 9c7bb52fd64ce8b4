//! The checksum of a PE file.

/// The value of the optional header's `CheckSum`, over a file in which that field is 0: the 16-bit words added with
/// end-around carry, plus the length. An odd last byte counts as a word.
/// Source: Microsoft, `CheckSumMappedFile`.
pub(crate) fn pe_checksum(file: &[u8]) -> u32 {
    let (words, rest) = file.as_chunks::<4>();
    let mut sum: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_le_bytes(*word)))
        .sum();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    sum += u64::from(u32::from_le_bytes(last));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Both parts fit: the sum is 16 bits, and no PE file is longer than its 32-bit offsets reach.
    u32::try_from(sum + file.len() as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_added_with_end_around_carry_and_the_length_on_top() {
        assert_eq!(pe_checksum(&[]), 0);
        assert_eq!(pe_checksum(&[0x01, 0x02]), 0x0201 + 2);
        assert_eq!(pe_checksum(&[0xff, 0xff, 0x02, 0x00]), 2 + 4);
        assert_eq!(pe_checksum(&[0x01, 0x00, 0x02, 0x00, 0x05]), 8 + 5);
    }
}
