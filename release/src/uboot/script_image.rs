//! The form in which U-Boot takes a script: its old image format. Source: U-Boot, `include/image.h`, `struct legacy_img_hdr`.

const MAGIC: u32 = 0x2705_1956;
const HEADER_BYTES: usize = 64;
/// Offset of the header's own CRC-32, which is zero while it is computed.
const HEADER_CRC: usize = 4;
/// Linux, arm64, script, not compressed.
const KIND: [u8; 4] = [5, 22, 6, 0];
/// Longest name.
const NAME_BYTES: usize = 32;

/// `script` as a file that U-Boot runs (`boot.scr`). It bears no time: the same script, the same bytes.
#[must_use]
pub fn script_image(name: &str, script: &str) -> Vec<u8> {
    // A list of parts, each with its length, that a zero ends; then the parts.
    let length = u32::try_from(script.len()).unwrap_or(u32::MAX);
    let mut data = [length.to_be_bytes(), [0; 4]].concat();
    data.extend_from_slice(script.as_bytes());
    let data_length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut header = [0; HEADER_BYTES];
    let mut put = |offset: usize, bytes: &[u8]| {
        for (place, byte) in header.iter_mut().skip(offset).zip(bytes) {
            *place = *byte;
        }
    };
    put(0, &MAGIC.to_be_bytes());
    put(12, &data_length.to_be_bytes());
    put(24, &crc32fast::hash(&data).to_be_bytes());
    put(28, &KIND);
    put(32, name.as_bytes().get(..NAME_BYTES).unwrap_or(name.as_bytes()));
    let crc = crc32fast::hash(&header);
    for (place, byte) in header.iter_mut().skip(HEADER_CRC).zip(crc.to_be_bytes()) {
        *place = byte;
    }
    [header.as_slice(), &data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_data_have_their_sums_and_the_script_follows_its_length() {
        let image = script_image("outcrop", "echo hello\n");
        assert_eq!(image[..4], [0x27, 0x05, 0x19, 0x56]);
        assert_eq!(&image[32..40], b"outcrop\0");
        assert_eq!(image[64..72], [0, 0, 0, 11, 0, 0, 0, 0]);
        assert_eq!(&image[72..], b"echo hello\n");
        assert_eq!(image[24..28], crc32fast::hash(&image[64..]).to_be_bytes());
        let mut header = image[..64].to_vec();
        let crc = header.splice(4..8, [0; 4]).collect::<Vec<_>>();
        assert_eq!(crc, crc32fast::hash(&header).to_be_bytes());
    }
}
