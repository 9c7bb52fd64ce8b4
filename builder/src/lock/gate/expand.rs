//! Words to values: POSIX.1-2017, Shell Command Language, section 2.6, for what is known.

use std::collections::HashMap;

use super::{
    commands,
    shell::ast::{List, Node, Part, Statement, Substitute, Word},
};

/// Known values; none for a variable that holds something unknown. A variable that is not there is unknown too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Variables(HashMap<String, Option<String>>);

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: Option<String>) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn forget(&mut self, names: impl IntoIterator<Item = String>) {
        self.0.extend(names.into_iter().map(|name| (name, None)));
    }

    /// Every variable is unknown from now on, how words are split too.
    pub(super) fn forget_all(&mut self) {
        self.0.values_mut().for_each(|value| *value = None);
        self.set("IFS", None);
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned().flatten()
    }

    /// Every variable that differs in `other` is unknown from now on.
    pub(super) fn doubt(&mut self, other: Self) {
        for (name, value) in other.0 {
            if self.0.get(&name) != Some(&value) {
                self.0.insert(name, None);
            }
        }
    }

    /// The words after expansion. An unknown word is none; how many words it becomes is then unknown too.
    pub(super) fn arguments(&self, words: &[Word]) -> Vec<Option<String>> {
        let vanishes = |word: &Word, value: &str| {
            value.is_empty()
                && !word
                    .iter()
                    .any(|part| matches!(part, Part::Text(_, true) | Part::Parameter { quoted: true, .. }))
        };
        let mut arguments = Vec::new();
        for word in words {
            let value = self.value(word).filter(|_| !has_glob(word));
            match value {
                Some(value) if vanishes(word, &value) => {}
                Some(_) if self.is_changed(word) => arguments.push(None),
                value => arguments.push(value),
            }
        }
        arguments
    }

    /// Whether the shell would split an unquoted expansion in `word`, or compare it with file names. Of commands nobody
    /// knows here whether they are quoted.
    fn is_changed(&self, word: &Word) -> bool {
        let own_splitting = self.0.contains_key("IFS");
        word.iter().any(|part| match part {
            Part::Parameter { quoted: false, .. } | Part::Command(_) => {
                let value = self.part(part).unwrap_or_default();
                value.contains([' ', '\t', '\n', '*', '?', '[']) || (own_splitting && !value.is_empty())
            }
            _ => false,
        })
    }

    /// The value of a word, when everything in it is known.
    pub(super) fn value(&self, word: &Word) -> Option<String> {
        word.iter().map(|part| self.part(part)).collect()
    }

    pub(super) fn part(&self, part: &Part) -> Option<String> {
        match part {
            Part::Text(text, _) => Some(text.clone()),
            Part::Parameter { name, substitute, .. } => {
                let value = self.get(name)?;
                match (substitute, value.is_empty()) {
                    (Some((Substitute::IfEmpty, word)), true)
                    | (Some((Substitute::UnlessEmpty | Substitute::UnlessUnset, word)), false) => {
                        self.value(word)
                    }
                    (Some((Substitute::UnlessEmpty, _)), true) => Some(String::new()),
                    // Whether a variable without text is set at all, nobody knows here.
                    (Some((Substitute::IfUnset | Substitute::UnlessUnset, word)), true) => {
                        self.value(word).filter(String::is_empty)
                    }
                    _ => Some(value),
                }
            }
            Part::Command(list) => self.output(list),
            Part::Opaque | Part::Sets(_) => None,
        }
    }

    /// What a command prints, for the few whose answer is certain.
    pub(super) fn output(&self, list: &List) -> Option<String> {
        let [
            Statement {
                node: Node::Simple(simple),
                ..
            },
        ] = list.as_slice()
        else {
            return None;
        };
        let words: Option<Vec<_>> = self.arguments(&simple.words).into_iter().collect();
        match words?.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["dirname", path] => path
                .rsplit_once('/')
                .map(|(folder, _)| folder.to_owned())
                .filter(|folder| !folder.is_empty()),
            ["command", "-v", program] | ["which", program] => {
                commands::is_present(program).then(|| format!("/usr/bin/{program}"))
            }
            _ => None,
        }
    }
}

/// Unquoted text that the shell would compare with file names.
fn has_glob(word: &Word) -> bool {
    let lone = word.len() == 1;
    word.iter().any(|part| match part {
        Part::Text(text, false) => {
            text.contains(['*', '?']) || (text.contains('[') && !(lone && text == "["))
        }
        _ => false,
    })
}

/// Whether a `case` pattern matches; none when the pattern holds more than text and `*` alone.
pub(super) fn matches(pattern: &Word, value: &str) -> Option<bool> {
    if let [Part::Text(text, false)] = pattern.as_slice()
        && text == "*"
    {
        return Some(true);
    }
    let mut text = String::new();
    for part in pattern {
        match part {
            Part::Text(_, false) if has_glob(pattern) => return None,
            Part::Text(part, _) => text.push_str(part),
            _ => return None,
        }
    }
    Some(text == value)
}
