//! A slot's kernel arguments.

/// The variable that holds them.
const VARIABLE: &str = "outcrop_arguments";

/// `arguments` (a kernel command line) as `env import -c` takes them: the CRC-32 of the rest, little-endian, then variables that end with a
/// zero each, and a zero behind the last.
/// Source: U-Boot, `include/env_internal.h`, `struct environment_s` without redundancy.
#[must_use]
pub fn arguments_file(arguments: &str) -> Vec<u8> {
    let data = format!("{VARIABLE}={arguments}\0\0");
    [&crc32fast::hash(data.as_bytes()).to_le_bytes(), data.as_bytes()].concat()
}

/// The arguments in such a file; none when it is none.
#[must_use]
pub fn arguments_of(file: &[u8]) -> Option<&str> {
    let (sum, data) = file.split_first_chunk()?;
    if u32::from_le_bytes(*sum) != crc32fast::hash(data) {
        return None;
    }
    let text = str::from_utf8(data).ok()?.strip_suffix("\0\0")?;
    text.strip_prefix(VARIABLE)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_noticed() {
        let mut file = arguments_file("ro panic=10");
        assert_eq!(arguments_of(&file), Some("ro panic=10"));
        file[20] ^= 1;
        assert_eq!(arguments_of(&file), None);
        assert_eq!(arguments_of(&[]), None);
    }

    #[test]
    fn the_variable_ends_with_two_zeros_behind_its_sum() {
        let file = arguments_file("ro panic=10");
        assert_eq!(&file[4..], b"outcrop_arguments=ro panic=10\0\0");
        assert_eq!(file[..4], crc32fast::hash(&file[4..]).to_le_bytes());
    }
}
