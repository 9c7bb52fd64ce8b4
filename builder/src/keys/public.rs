//! Public keys, with the names that people know them by.

use std::{fmt, fs, io::Read as _, path::Path, str::FromStr};

use outcrop_release::trust::PublicKey;

use super::KeysError;

/// Longest name of a key, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// No file with one key is longer.
const MAX_FILE_BYTES: u64 = 4096;

/// What people call a key: letters, digits, `.`, `-` and `_`, not beginning with `.` or `-`. Safe as a file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

/// A text that can't name a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't name a key: use 1 to {MAX_NAME_BYTES} letters, digits, `.`, `-` and `_`, beginning with a letter, a digit or `_`"
)]
pub struct BadKeyName(String);

impl KeyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = BadKeyName;

    fn from_str(text: &str) -> Result<Self, BadKeyName> {
        let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
        let good = !text.is_empty()
            && text.len() <= MAX_NAME_BYTES
            && !text.starts_with(['.', '-'])
            && text.chars().all(legal);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadKeyName(text.to_owned()))
        }
    }
}

/// A public key with its name. Text form, as in a file `NAME.pub`: the key, a blank, the name, a line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// What people call it.
    pub name: KeyName,
    /// The key.
    pub key: PublicKey,
}

impl NamedKey {
    /// Reads a file `NAME.pub`.
    ///
    /// # Errors
    /// When it can't be read, or holds anything but one public key with its name.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let mut text = String::new();
        let file = fs::File::open(path);
        let read = file.and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
        read.map_err(|source| KeysError::File {
            doing: "read the public key",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|source| KeysError::NotPublic {
            path: path.to_owned(),
            source,
        })
    }

    fn parse(text: &str) -> Result<Self, Option<outcrop_release::trust::KeyError>> {
        let mut words = text.split_ascii_whitespace();
        let (Some(key), Some(name), None) = (words.next(), words.next(), words.next()) else {
            return Err(None);
        };
        Ok(Self {
            key: key.parse().map_err(Some)?,
            name: name.parse().map_err(|_| None)?,
        })
    }
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.key, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn a_key_survives_its_line_and_other_lines_are_refused() {
        let line = format!("{KEY} release-2026\n");
        assert_eq!(NamedKey::parse(&line).unwrap().to_string(), line);
        for text in [
            "",
            KEY,
            &format!("{KEY} two words"),
            "ed25519:00 release",
            &format!("{KEY} ../x"),
        ] {
            assert!(NamedKey::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_safe_as_file_names() {
        for name in ["release", "2026-ci_key.old", "_"] {
            assert!(name.parse::<KeyName>().is_ok(), "{name}");
        }
        for name in ["", ".", "..", "-x", "a/b", "a b", "\u{e4}", &"x".repeat(65)] {
            assert!(name.parse::<KeyName>().is_err(), "{name}");
        }
    }
}
