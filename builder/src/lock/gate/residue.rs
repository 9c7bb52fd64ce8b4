//! Lines that nobody handles, and the digest by which a review knows them again.

use outcrop_release::digest::FileDigest;

use super::walk::Definition;

/// Lines of a script that are neither recognised nor without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residue {
    /// Line number (from 1) and the line as it stands.
    pub lines: Vec<(usize, String)>,
    /// Digest of the normalised lines: what `scripts.toml` names.
    pub digest: FileDigest,
}

/// Adds to `ranges` the lines that give their variables a value and their functions a body, as far back as needed: what
/// `rm "$file"` removes and what `clean` does are part of what was reviewed.
pub(super) fn with_context(
    script: &str,
    mut ranges: Vec<(usize, usize)>,
    definitions: &[Definition],
) -> Vec<(usize, usize)> {
    if ranges.is_empty() {
        return ranges;
    }
    loop {
        let text = covered(script, &ranges)
            .map(|(_, line)| line)
            .collect::<Vec<_>>()
            .join("\n");
        let used = |definition: &&Definition| match definition.function {
            true => calls(&text, &definition.name),
            false => names(&text, &definition.name),
        };
        let missing = definitions
            .iter()
            .filter(|definition| !ranges.contains(&definition.lines));
        let more: Vec<_> = missing.filter(used).map(|definition| definition.lines).collect();
        if more.is_empty() {
            return ranges;
        }
        ranges.extend(more);
    }
}

/// Whether `text` has the word `name`, which may then be a call.
fn calls(text: &str, name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    text.match_indices(name).any(|(at, found)| {
        let (before, after) = (
            text[..at].chars().next_back(),
            text[at + found.len()..].chars().next(),
        );
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

/// Whether `text` expands the variable `name`.
fn names(text: &str, name: &str) -> bool {
    ["$", "${"].iter().any(|sign| {
        let start = format!("{sign}{name}");
        text.match_indices(&start).any(|(at, found)| {
            let next = text[at + found.len()..].chars().next();
            !next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '_')
        })
    })
}

/// The lines that `ranges` cover, with their numbers from 1; not blank ones, nor the `#!` line.
fn covered<'a>(script: &'a str, ranges: &[(usize, usize)]) -> impl Iterator<Item = (usize, &'a str)> {
    let lines = script
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim_end()));
    lines.filter(|(number, line)| {
        let inside = ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(number));
        inside && !line.is_empty() && !(*number == 1 && line.starts_with("#!"))
    })
}

impl Residue {
    /// Takes the lines of `script` that `ranges` (first, last) cover, without blank lines and the `#!` line. `names` are
    /// the parts of the text that change with every version, and what stands for each in the digest.
    pub(super) fn of(script: &str, ranges: &[(usize, usize)], names: &[(String, &str)]) -> Option<Self> {
        let lines: Vec<_> = covered(script, ranges)
            .map(|(number, line)| (number, line.to_owned()))
            .collect();
        if lines.is_empty() {
            return None;
        }
        let mut text = String::new();
        for (_, line) in &lines {
            text.push_str(line.trim());
            text.push('\n');
        }
        for (from, to) in names {
            text = text.replace(from, to);
        }
        Some(Self {
            lines,
            digest: FileDigest::of(text.as_bytes()),
        })
    }
}
