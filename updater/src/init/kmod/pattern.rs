//! Matching a device's modalias against the patterns of `modules.alias`.

/// Whether `text` matches the shell pattern `pattern`: `*`, `?` and `[...]` with ranges, everything else literal.
///
/// `-` and `_` are the same letter outside of brackets, as for modprobe. An unclosed bracket matches nothing.
/// Source: POSIX.1-2017, section 2.13.1, as far as modalias patterns use it.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut pos) = (0, 0);
    // Where to go on when a later part doesn't match: after the last star, with one more byte given to that star.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match step(pattern, at, text.get(pos).copied()) {
            Step::Star => {
                retry = Some((at + 1, pos));
                at += 1;
            }
            Step::Byte(next) => {
                at = next;
                pos += 1;
            }
            Step::End => return true,
            Step::No => match retry {
                Some((star, taken)) if taken < text.len() => {
                    retry = Some((star, taken + 1));
                    (at, pos) = (star, taken + 1);
                }
                _ => return false,
            },
        }
    }
}

enum Step {
    /// A star: any number of bytes.
    Star,
    /// The byte fits; the pattern goes on there.
    Byte(usize),
    /// Pattern and text are both at their end.
    End,
    /// No match from here.
    No,
}

/// What the element of `pattern` at `at` says to `byte`, the next byte of the text.
fn step(pattern: &[u8], at: usize, byte: Option<u8>) -> Step {
    match (pattern.get(at), byte) {
        (None, None) => Step::End,
        (Some(b'*'), _) => Step::Star,
        (None, Some(_)) | (Some(_), None) => Step::No,
        (Some(b'?'), Some(_)) => Step::Byte(at + 1),
        (Some(b'['), Some(byte)) => in_bracket(pattern, at + 1, byte),
        (Some(&literal), Some(byte)) if fold(literal) == fold(byte) => Step::Byte(at + 1),
        (Some(_), Some(_)) => Step::No,
    }
}

/// Whether `byte` is in the set that begins at `start`, right after its bracket.
fn in_bracket(pattern: &[u8], start: usize, byte: u8) -> Step {
    let Some(len) = pattern
        .get(start..)
        .and_then(|rest| rest.iter().position(|&c| c == b']'))
    else {
        return Step::No;
    };
    let mut set = pattern.get(start..start + len).unwrap_or_default();
    loop {
        set = match set {
            [] => return Step::No,
            [low, b'-', high, ..] if (*low..=*high).contains(&byte) => return Step::Byte(start + len + 1),
            [_, b'-', _, rest @ ..] => rest,
            [one, ..] if *one == byte => return Step::Byte(start + len + 1),
            [_, rest @ ..] => rest,
        };
    }
}

/// Dash and underscore are one.
const fn fold(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_of_real_modules_match_the_devices_they_are_for() {
        for (pattern, modalias) in [
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4"),
            (
                "pci:v*d*sv*sd*bc01sc06i01*",
                "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
            ),
            (
                "cpu:type:x86,ven*fam*mod*:feature:*0089*",
                "cpu:type:x86,ven0002fam0006mod000F:feature:,0000,0089,00C0",
            ),
            (
                "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*",
                "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00",
            ),
            ("usb:v0411p001Cd011[0-3]dc*", "usb:v0411p001Cd0112dc00"),
            ("platform:xhci_hcd", "platform:xhci-hcd"),
            ("acpi*:80860F14:*", "acpi:80860F14:PNP0D40:"),
        ] {
            assert!(matches(pattern, modalias), "{pattern} {modalias}");
        }
    }

    #[test]
    fn a_device_that_differs_in_one_field_doesnt_match() {
        for (pattern, modalias) in [
            ("virtio:d00000002v*", "virtio:d00000003v00001AF4"),
            ("usb:v0411p001Cd011[0-3]dc*", "usb:v0411p001Cd0114dc00"),
            ("virtio:d00000002v*", "virtio:d00000002"),
            ("abc", "abcd"),
            ("a[bc", "ab"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, modalias), "{pattern} {modalias}");
        }
    }

    /// The definition, word by word and slow.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| by_definition(rest, &text[n..])),
            ([b'?', rest @ ..], [_, tail @ ..]) => by_definition(rest, tail),
            ([a, rest @ ..], [b, tail @ ..]) if a == b => by_definition(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_and_question_marks_follow_the_definition(pattern in "[ab*?]{0,9}", text in "[ab]{0,9}") {
            prop_assert_eq!(matches(&pattern, &text), by_definition(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_two_texts_come_to_an_end(pattern: String, text: String) {
            let _ = matches(&pattern, &text);
        }
    }
}
