//! Commands that only read, unless an option makes them write: sed(1), sort(1), uniq(1), hostname(1), date(1), umask.

/// Whether `name`, called with `words` (none: unknown), writes nothing. None for a command that has no such option.
pub(super) fn only_reads(name: &str, words: &[Option<String>]) -> Option<bool> {
    let test: fn(&[&str]) -> bool = match name {
        "sed" => sed,
        "sort" => |words| !words.iter().any(|word| sort_writes(word)),
        "uniq" => |words| words.iter().filter(|word| !is_option(word)).count() < 2,
        "hostname" => |words| {
            words
                .iter()
                .all(|word| is_option(word) && !word.contains(['F', 'b']))
        },
        "date" => date,
        "umask" => |words| matches!(words, [] | ["-S" | "022" | "0022" | "22"]),
        _ => return None,
    };
    let known: Option<Vec<&str>> = words.iter().map(Option::as_deref).collect();
    Some(known.is_some_and(|words| test(&words)))
}

fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-')
}

/// `-o`, in a cluster too, and every abbreviation of `--output`.
fn sort_writes(word: &str) -> bool {
    match word.strip_prefix("--") {
        Some(long) => long.starts_with('o'),
        None => is_option(word) && word.contains('o'),
    }
}

/// Prints a time: without operands that set it, and without `--set` and its abbreviations.
fn date(words: &[&str]) -> bool {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "-d" | "-r" | "--date" | "--reference" => drop(words.next()),
            word if word.starts_with("--s") || !word.starts_with(['-', '+']) => return false,
            word if !word.starts_with("--") && is_option(word) && word.contains('s') => return false,
            _ => {}
        }
    }
    true
}

/// Without `-i`, and with scripts whose commands are all known to write nothing.
fn sed(words: &[&str]) -> bool {
    let mut scripts = Vec::new();
    let mut operands = Vec::new();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let plain = [
            "--quiet",
            "--silent",
            "--regexp-extended",
            "--separate",
            "--null-data",
            "--posix",
            "--unbuffered",
        ];
        if !is_option(word) {
            operands.push(word);
        } else if word == "--" {
            operands.extend(words.by_ref());
        } else if let Some(script) = word.strip_prefix("--expression=") {
            scripts.push(script);
        } else if word.starts_with("--") {
            if !plain.contains(&word) {
                return false;
            }
        } else {
            let cluster = &word[1..];
            let flags = cluster.trim_start_matches(['n', 'r', 'E', 's', 'u', 'z']);
            match flags.strip_prefix('e') {
                _ if flags.is_empty() => {}
                Some("") => scripts.extend(words.next()),
                Some(script) => scripts.push(script),
                None => return false,
            }
        }
    }
    if scripts.is_empty() {
        scripts.extend(operands.first());
    }
    !scripts.is_empty() && scripts.iter().all(|script| script_prints(script).is_some())
}

/// Reads a sed script of addresses, blocks, `s`, `y` and commands of one letter; none when it has anything else, such as
/// `w`, `W`, `e`, and the flags of `s` of that name.
fn script_prints(script: &str) -> Option<()> {
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', ';', '{', '}']);
        rest = address(rest)?;
        if let Some(second) = rest.strip_prefix(',') {
            rest = address(second.trim_start())?;
        }
        rest = rest.trim_start_matches([' ', '\t', '!', '{']);
        let Some(command) = rest.chars().next() else {
            return Some(());
        };
        rest = &rest[command.len_utf8()..];
        rest = match command {
            's' => {
                let flags = delimited(rest, 2)?;
                flags.trim_start_matches(|c: char| "gpiIm".contains(c) || c.is_ascii_digit())
            }
            'y' => delimited(rest, 2)?,
            'd' | 'D' | 'p' | 'P' | 'n' | 'N' | 'h' | 'H' | 'g' | 'G' | 'x' | '=' | 'q' => rest,
            '}' => rest,
            _ => return None,
        };
        if !rest.is_empty() && !rest.starts_with([' ', '\t', '\n', ';', '}']) {
            return None;
        }
    }
}

/// What follows an address: a number, `$`, or a pattern.
fn address(text: &str) -> Option<&str> {
    match text.chars().next() {
        Some('/') => Some(delimited(text, 1)?.trim_start_matches(['I', 'M'])),
        Some('$') => Some(&text[1..]),
        _ => Some(text.trim_start_matches(|c: char| c.is_ascii_digit())),
    }
}

/// What follows `parts` parts, each ended by the character that `text` starts with. `\` protects the next character.
/// A delimiter in brackets is refused: whether it ends the part depends on the sed.
fn delimited(text: &str, parts: usize) -> Option<&str> {
    let delimiter = text.chars().next().filter(|c| !"\\\n".contains(*c))?;
    let mut left = parts;
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '[' {
            let inside = text[at + 1..].split_once(']')?.0;
            if ["", "^"].contains(&inside) || inside.contains([delimiter, '\\']) {
                return None;
            }
        } else if c == '\\' {
            chars.next()?;
        } else if c == delimiter {
            left -= 1;
            if left == 0 {
                return text.get(at + c.len_utf8()..);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(line: &str) -> Option<bool> {
        let words = shlex::split(line)?;
        let (name, rest) = words.split_first()?;
        let rest: Vec<_> = rest
            .iter()
            .map(|word| (word != "?").then(|| word.clone()))
            .collect();
        only_reads(name, &rest)
    }

    #[test]
    fn commands_that_print_only_read() {
        for line in [
            "sed -n 's/a b/c/gp;3,$d' file",
            "sed -ne '/^x/p' -e 's#/w#/x#2' file",
            "sed 's/[[:space:]]*\\(x\\)[0-9]/y/'",
            "sed -E --expression=y/abc/def/ file",
            "sort -u -k 2 file",
            "uniq -c file",
            "hostname -f",
            "date -u -d yesterday +%s",
            "umask 022",
        ] {
            assert_eq!(reads(line), Some(true), "{line}");
        }
    }

    #[test]
    fn commands_that_write_a_file_or_change_the_machine_do_more() {
        for line in [
            "sed -i s/a/b/ file",
            "sed -ni s/a/b/ file",
            "sed --in s/a/b/ file",
            "sed --in-place=.bak s/a/b/ file",
            "sed -n 's/a/b/w /etc/x' file",
            "sed -n '/x/w /etc/x' file",
            "sed 'W /etc/x' file",
            "sed 1e file",
            "sed 's/[/]/w /etc/x' file",
            "sed 's/a/rm x/e' file",
            "sed -f script file",
            "sed ? file",
            "sort -o /etc/x file",
            "sort -uo /etc/x file",
            "sort --out=/etc/x file",
            "uniq in out",
            "hostname box",
            "hostname -F /etc/hostname",
            "date -s now",
            "date --se=now",
            "date 010203042026",
            "umask 077",
            "umask ?",
        ] {
            assert_eq!(reads(line), Some(false), "{line}");
        }
        assert_eq!(reads("cat file"), None);
    }
}
