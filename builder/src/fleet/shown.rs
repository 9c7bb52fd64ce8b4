//! Texts that a device or whoever names files has written, made harmless: nothing of them steers a terminal, turns the direction of writing
//! or can't be seen.

use std::fmt::Write as _;

/// For people: what isn't shown as itself is shown as `\u{...}`.
pub(super) fn shown(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        match is_shown(c) {
            true => harmless.push(c),
            false => harmless.extend(c.escape_unicode()),
        }
    }
    harmless
}

/// For programs: the same JSON, with `\u` where a terminal would obey.
pub(crate) fn shown_json(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_shown(c) {
            harmless.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _infallible = write!(harmless, "\\u{unit:04x}");
        }
    }
    harmless
}

fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_control();
    }
    // What the standard library wouldn't print: controls, formatting, other spaces than the usual one, what no Unicode knows. A combining
    // mark is fine behind something.
    let pair: String = ['.', c].iter().collect();
    pair.escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "\u{1b}[2J\u{9b}1m\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}\u{7f}\r\n\t\u{2028}";

    #[test]
    fn nothing_that_steers_or_hides_is_left_and_words_of_any_language_are() {
        assert!(shown(EVIL).is_ascii() && !shown(EVIL).contains(char::is_control));
        assert!(shown(EVIL).starts_with("\\u{1b}[2J\\u{9b}1m\\u{202e}\\u{2066}\\u{200b}"));
        for text in ["Kasse 7, Köln", "e\u{301}", "東京", "กรุงเทพฯ", "C:\\\"x'"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn json_says_the_same_without_what_a_terminal_obeys() {
        let json = serde_json::to_string_pretty(&[EVIL, "Köln"]).unwrap();
        let harmless = shown_json(&json);
        let has_controls = harmless.replace('\n', "").contains(char::is_control);
        assert!(!has_controls && !harmless.contains('\u{202e}') && harmless.contains("Köln"));
        let read: Vec<String> = serde_json::from_str(&harmless).unwrap();
        assert_eq!(read, [EVIL, "Köln"]);
    }
}
