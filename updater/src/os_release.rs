//! `/usr/lib/os-release`: what the running release is called.

/// Where it is.
pub const PATH: &str = "/usr/lib/os-release";

/// The value of `key`, without the quotes that a shell would drop; none if it isn't there.
/// Source: `os-release(5)`.
#[must_use]
pub fn value(text: &str, key: &str) -> Option<String> {
    let raw = text
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| raw.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(raw);
    Some(unescape(inner))
}

/// Drops the backslash before a character.
fn unescape(text: &str) -> String {
    let mut escaped = false;
    text.chars()
        .filter(|&c| {
            escaped = c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_and_escapes_are_the_shells() {
        let text = "ID=debian\nIMAGE_ID='edge'\nIMAGE_VERSION=\"0.1.0\"\nNAME=\"a \\\"b\\\\\"\n";
        assert_eq!(value(text, "ID").as_deref(), Some("debian"));
        assert_eq!(value(text, "IMAGE_ID").as_deref(), Some("edge"));
        assert_eq!(value(text, "IMAGE_VERSION").as_deref(), Some("0.1.0"));
        assert_eq!(value(text, "NAME").as_deref(), Some("a \"b\\"));
        assert_eq!(value(text, "VERSION"), None);
    }

    #[test]
    fn the_last_of_several_counts() {
        assert_eq!(value("A=1\nA=2\n", "A").as_deref(), Some("2"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = value(&text, "ID");
        }
    }
}
