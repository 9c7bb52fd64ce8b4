//! Options and operands of a command whose options are all known.

/// What stands on a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Options without a value.
    pub(super) flags: Vec<&'a str>,
    /// Options with their value.
    pub(super) values: Vec<(&'a str, &'a str)>,
    /// The rest.
    pub(super) operands: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// Reads `words`; none when an option is in neither list. `--option=value` counts as an option with a value.
    pub(super) fn read(words: &[&'a str], flags: &[&str], valued: &[&str]) -> Option<Self> {
        let mut line = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (option, value) = word
                .split_once('=')
                .map_or((word, None), |(option, value)| (option, Some(value)));
            if word == "--" {
                line.operands.extend(words.by_ref());
            } else if !word.starts_with('-') || word == "-" {
                line.operands.push(word);
            } else if flags.contains(&word) {
                line.flags.push(word);
            } else if valued.contains(&option) {
                line.values.push((option, value.or_else(|| words.next())?));
            } else {
                return None;
            }
        }
        Some(line)
    }

    pub(super) fn flag(&self, names: &[&str]) -> bool {
        self.flags.iter().any(|flag| names.contains(flag))
    }

    pub(super) fn value(&self, names: &[&str]) -> Option<&'a str> {
        self.values
            .iter()
            .rev()
            .find(|(option, _)| names.contains(option))
            .map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_option_makes_the_line_unreadable() {
        assert!(Line::read(&["-p", "/x"], &["-p"], &[]).is_some());
        assert!(Line::read(&["-Z", "/x"], &["-p"], &[]).is_none());
        assert!(Line::read(&["--mode"], &[], &["--mode"]).is_none());
    }

    #[test]
    fn a_value_may_follow_or_be_joined() {
        let line = Line::read(
            &["--home", "/a", "--shell=/b", "name"],
            &[],
            &["--home", "--shell"],
        )
        .unwrap();
        assert_eq!(line.value(&["--home"]), Some("/a"));
        assert_eq!(line.value(&["--shell"]), Some("/b"));
        assert_eq!(line.operands, ["name"]);
    }
}
