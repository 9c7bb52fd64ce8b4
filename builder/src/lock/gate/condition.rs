//! What is known about the machine when a script would run: a fresh installation, into a tree that is not running.

use super::commands;

/// The truth of `test` and `[`: POSIX.1-2017, utility `test`, with `-a`, `-o` and parentheses. None when it depends on
/// something that nobody knows here. An unknown word is none.
pub(super) fn test(words: &[Option<String>]) -> Option<bool> {
    let mut rest = words;
    let value = either(&mut rest, 0)?;
    rest.is_empty().then_some(value)?
}

/// A truth that may be unknown, inside "could be read at all".
type Truth = Option<Option<bool>>;

fn take<'a>(rest: &mut &'a [Option<String>]) -> Option<&'a Option<String>> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(first)
}

fn next_is(rest: &[Option<String>], word: &str) -> bool {
    matches!(rest.first(), Some(Some(found)) if found == word)
}

fn either(rest: &mut &[Option<String>], depth: usize) -> Truth {
    let mut value = both(rest, depth)?;
    while next_is(rest, "-o") {
        take(rest);
        let right = both(rest, depth)?;
        value = match (value, right) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
    }
    Some(value)
}

fn both(rest: &mut &[Option<String>], depth: usize) -> Truth {
    let mut value = primary(rest, depth)?;
    while next_is(rest, "-a") {
        take(rest);
        let right = primary(rest, depth)?;
        value = match (value, right) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
    }
    Some(value)
}

fn primary(rest: &mut &[Option<String>], depth: usize) -> Truth {
    if depth > 20 {
        return None;
    }
    if let [left, Some(operator), right, ..] = rest
        && is_binary(operator)
    {
        let value = binary(left.as_deref(), operator, right.as_deref());
        *rest = &rest[3..];
        return Some(value);
    }
    let first = take(rest)?;
    match first.as_deref() {
        Some("!") if !rest.is_empty() => Some(primary(rest, depth + 1)?.map(|value| !value)),
        Some("(") => {
            let value = either(rest, depth + 1)?;
            next_is(rest, ")").then(|| take(rest))?;
            Some(value)
        }
        Some(operator) if operator.len() == 2 && operator.starts_with('-') && !rest.is_empty() => {
            let word = take(rest)?;
            Some(unary(operator, word.as_deref()))
        }
        Some(word) => Some(Some(!word.is_empty())),
        None => Some(None),
    }
}

fn is_binary(word: &str) -> bool {
    matches!(
        word,
        "=" | "==" | "!=" | "-eq" | "-ne" | "-gt" | "-ge" | "-lt" | "-le" | "-nt" | "-ot"
    )
}

fn binary(left: Option<&str>, operator: &str, right: Option<&str>) -> Option<bool> {
    match operator {
        "=" | "==" => Some(left? == right?),
        "!=" => Some(left? != right?),
        _ => None,
    }
}

fn unary(operator: &str, word: Option<&str>) -> Option<bool> {
    match operator {
        "-n" => word.map(|word| !word.is_empty()),
        "-z" => word.map(str::is_empty),
        // systemd runs: it doesn't, in a tree that is being built.
        "-d" | "-e" if word == Some("/run/systemd/system") => Some(false),
        // What dpkg sets aside when it upgrades.
        "-e" | "-f" | "-s" if word.is_some_and(is_set_aside) => Some(false),
        "-x" => word?
            .strip_prefix("/usr/bin/")
            .filter(|program| commands::is_present(program))
            .map(|_| true),
        // dh_apparmor(1) names a profile that the package ships, and makes its local part.
        "-e" | "-f" => {
            let name = word?.strip_prefix("/etc/apparmor.d/")?;
            match name.split_once('/') {
                None => (!name.is_empty()).then_some(true),
                Some(("local", _)) => Some(false),
                Some(_) => None, // disable/NAME, force-complain/NAME: an administrator's wish
            }
        }
        _ => None,
    }
}

fn is_set_aside(path: &str) -> bool {
    [
        ".dpkg-bak",
        ".dpkg-old",
        ".dpkg-new",
        ".dpkg-dist",
        ".dpkg-remove",
        ".dpkg-backup",
    ]
    .iter()
    .any(|end| path.ends_with(end))
}

/// `dpkg --compare-versions LEFT RELATION RIGHT`, for an empty left version: a first installation.
/// Source: dpkg(1), `--compare-versions`: an empty version is earlier than any, with `-nl` later.
pub(super) fn compare_versions(words: &[Option<String>]) -> Option<bool> {
    match words {
        [Some(left), Some(relation), right] if left.is_empty() && right.as_deref() != Some("") => {
            match relation.as_str() {
                "lt" | "le" | "ne" | "<<" | "<=" | "gt-nl" | "ge-nl" => Some(true),
                "gt" | "ge" | "eq" | ">>" | ">=" | "lt-nl" | "le-nl" => Some(false),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Option<String>> {
        let word = |word: &str| match word {
            "?" => None,
            "''" => Some(String::new()),
            word => Some(word.to_owned()),
        };
        text.split_whitespace().map(word).collect()
    }

    #[test]
    fn known_words_decide_and_unknown_words_do_not() {
        for (text, truth) in [
            ("configure = configure", Some(true)),
            ("configure = abort -o configure = configure", Some(true)),
            ("'' != ''", Some(false)),
            ("-n ''", Some(false)),
            ("! -n ''", Some(true)),
            ("-z ? ", None),
            ("-z ? -a -n ''", Some(false)),
            ("-d /run/systemd/system", Some(false)),
            ("-x /usr/bin/thing", None),
            ("-e /etc/apparmor.d/usr.bin.x", Some(true)),
            ("-e /etc/apparmor.d/local/usr.bin.x", Some(false)),
            ("-e /etc/apparmor.d/disable/usr.bin.x", None),
            ("-f /etc/apparmor.d/force-complain/usr.bin.x", None),
            ("-e /etc/apparmor.d/", None),
            ("( ? = a ) -o x = x", Some(true)),
            ("a b c", None),
            ("''", Some(false)),
        ] {
            assert_eq!(test(&words(text)), truth, "[ {text} ]");
        }
    }

    #[test]
    fn a_first_installation_is_earlier_than_any_version_unless_asked_otherwise() {
        assert_eq!(compare_versions(&words("'' lt 1.0")), Some(true));
        assert_eq!(compare_versions(&words("'' lt-nl 1.0")), Some(false));
        assert_eq!(compare_versions(&words("'' ge 1.0")), Some(false));
        assert_eq!(compare_versions(&words("2.0 lt 1.0")), None);
    }
}
