//! Lines that nobody handles, and the digest by which a review knows them again.

use outcrop_release::digest::FileDigest;

/// Lines of a script that are neither recognised nor without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residue {
    /// Line number (from 1) and the line as it stands.
    pub lines: Vec<(usize, String)>,
    /// Digest of the normalised lines: what `scripts.toml` names.
    pub digest: FileDigest,
}

impl Residue {
    /// Takes the lines of `script` that `ranges` (first, last) cover, without blank lines and the `#!` line. `names` are
    /// the parts of the text that change with every version, and what stands for each in the digest.
    pub(super) fn of(script: &str, ranges: &[(usize, usize)], names: &[(String, &str)]) -> Option<Self> {
        let covered = |number: usize| {
            ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&number))
        };
        let lines: Vec<_> = script
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim_end().to_owned()))
            .filter(|(number, line)| {
                covered(*number) && !line.is_empty() && !(*number == 1 && line.starts_with("#!"))
            })
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
