//! Names: 8.3, and the long ones beside them.

/// Longest name of a file or folder, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// Whether `name` can name a file: printable ASCII without what FAT forbids, no dot or space at its end.
pub(super) fn is_good(name: &str) -> bool {
    let good = |byte: u8| (b' '..=b'~').contains(&byte) && !br#""*/:<>?\|"#.contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(good) && !name.ends_with(['.', ' '])
}

/// An 8.3 name as it lies in a folder: base and extension, filled with spaces.
pub(super) type ShortName = [u8; 11];

/// The short name of `name`, and whether a long one must go with it. `number` makes short names unique in a folder.
pub(super) fn short_name(name: &str, number: u32) -> (ShortName, bool) {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let fits = |part: &str, most: usize| part.len() <= most && part.bytes().all(is_plain);
    if !base.is_empty() && fits(base, 8) && fits(extension, 3) {
        return (
            join(&base.to_ascii_uppercase(), &extension.to_ascii_uppercase()),
            name != name.to_ascii_uppercase(),
        );
    }
    let plain = |part: &str| {
        part.to_ascii_uppercase()
            .bytes()
            .filter(|&byte| is_plain(byte))
            .collect::<Vec<u8>>()
    };
    let tail = format!("~{number}");
    let mut short = plain(base);
    short.truncate(8 - tail.len().min(7));
    short.extend(tail.bytes());
    let short = String::from_utf8(short).unwrap_or_default();
    (
        join(&short, &String::from_utf8(plain(extension)).unwrap_or_default()),
        true,
    )
}

/// Whether `byte` may be in a short name, case aside.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

fn join(base: &str, extension: &str) -> ShortName {
    let mut short = [b' '; 11];
    let bytes = base
        .bytes()
        .take(8)
        .zip(0..)
        .chain(extension.bytes().take(3).zip(8..));
    for (byte, index) in bytes {
        short[index] = byte;
    }
    short
}

/// A short name as text: `BOOTX64.EFI`.
pub(super) fn short_text(short: &ShortName) -> String {
    let text = |part: &[u8]| String::from_utf8_lossy(part).trim_end().to_owned();
    let (base, extension) = short.split_at(8);
    match text(extension) {
        none if none.is_empty() => text(base),
        extension => format!("{}.{extension}", text(base)),
    }
}

/// What ties a long name's entries to the short name's.
pub(super) fn checksum(short: &ShortName) -> u8 {
    short
        .iter()
        .fold(0_u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_8_3_in_capitals_go_without_a_long_one() {
        let short = |name| {
            let (short, long) = short_name(name, 1);
            (short_text(&short), long)
        };
        assert_eq!(short("BOOTX64.EFI"), ("BOOTX64.EFI".to_owned(), false));
        assert_eq!(short("EFI"), ("EFI".to_owned(), false));
        assert_eq!(short("Linux"), ("LINUX".to_owned(), true));
        assert_eq!(short("loader.conf"), ("LOADER~1.CON".to_owned(), true));
        assert_eq!(short("outcrop-a.efi"), ("OUTCRO~1.EFI".to_owned(), true));
        assert_eq!(short(".hidden"), ("~1.HID".to_owned(), true));
        assert_eq!(short_text(&short_name("outcrop-b.efi", 12).0), "OUTCR~12.EFI");
    }

    #[test]
    fn names_that_fat_cant_hold_are_no_good() {
        for name in [
            "",
            "a/b",
            "a\\b",
            "é",
            "a.",
            "a ",
            "a:b",
            "a\nb",
            &"x".repeat(256),
        ] {
            assert!(!is_good(name), "{name:?}");
        }
        assert!(is_good("loader.conf") && is_good("a b"));
    }
}
