//! Names: of a product, and of the files that a release consists of.

use std::{fmt, str::FromStr};

use semver::Version;

use crate::{arch::Architecture, board::Board};

/// Longest product name, in bytes: with version, architecture and board it stays far below a file name's 255.
pub const MAX_NAME_BYTES: usize = 64;

/// Name of an image: lower-case letters, digits and inner hyphens, starting with a letter; at most
/// [`MAX_NAME_BYTES`]. Safe in file names, host names and `os-release`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

/// A text that can't name an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't name an image: use 1 to {MAX_NAME_BYTES} lower-case letters, digits and inner hyphens, starting with a letter"
)]
pub struct BadImageName(pub String);

impl ImageName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ImageName {
    type Err = BadImageName;

    fn from_str(text: &str) -> Result<Self, BadImageName> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let good = text.len() <= MAX_NAME_BYTES
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.chars().all(legal);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadImageName(text.to_owned()))
        }
    }
}

/// What one build is: names every file of the release. Text form: `NAME-VERSION-ARCH-BOARD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseName {
    /// The product.
    pub image: ImageName,
    /// The release of the product.
    pub version: Version,
    /// What it runs on.
    pub architecture: Architecture,
    /// What starts it.
    pub board: Board,
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}-{}",
            self.image, self.version, self.architecture, self.board
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_by_product_version_architecture_and_board() {
        let release = ReleaseName {
            image: "edge".parse().unwrap(),
            version: Version::new(0, 1, 0),
            architecture: Architecture::X86_64,
            board: Board::Efi,
        };
        assert_eq!(release.to_string(), "edge-0.1.0-x86_64-efi");
    }

    #[test]
    fn names_that_would_be_unsafe_in_a_path_or_host_name_are_refused() {
        for name in [
            "",
            "-a",
            "a-",
            "A",
            "a/b",
            "..",
            "1a",
            "a_b",
            "é",
            &"a".repeat(65),
        ] {
            assert_eq!(name.parse::<ImageName>(), Err(BadImageName(name.to_owned())));
        }
    }
}
