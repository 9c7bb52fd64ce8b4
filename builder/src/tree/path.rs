//! Paths inside an image.

use std::{borrow::Borrow, fmt, str::FromStr};

/// Longest file name (one component), in bytes. Source: Linux `NAME_MAX`.
pub const MAX_COMPONENT_BYTES: usize = 255;
/// Longest path, in bytes. Source: Linux `PATH_MAX`, less the root's slash and the final NUL.
pub const MAX_PATH_BYTES: usize = 4094;

/// A path below the image's root: UTF-8, without leading slash, `.`, `..`, empty components or NUL.
///
/// The empty path is the root itself. Text form as given: `usr/bin/env`. Order is by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

/// A text that is no path inside an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A component is `..`, or the path starts with a slash.
    #[error("path {0:?} leads out of the image")]
    Escapes(String),
    /// A component is empty or `.`, or the path ends with a slash.
    #[error("path {0:?} has an empty or `.` component")]
    Component(String),
    /// A NUL byte, or a line break, which no package has and which breaks every list of files.
    #[error("path {0:?} has a control character")]
    Control(String),
    /// Longer than [`MAX_PATH_BYTES`], or a component longer than [`MAX_COMPONENT_BYTES`].
    #[error("path of {0} bytes, or one of its components, is too long")]
    TooLong(usize),
}

impl TreePath {
    /// The image's root.
    #[must_use]
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// The path as text, without leading slash; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the image's root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder that holds this path; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(
            self.0
                .rsplit_once('/')
                .map_or_else(String::new, |(parent, _)| parent.to_owned()),
        ))
    }

    /// The last component; none for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        if self.is_root() {
            None
        } else {
            self.0.rsplit('/').next()
        }
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// This path with `below` (one or more components) appended.
    ///
    /// # Errors
    /// When the result isn't a legal path: see [`PathError`].
    pub fn join(&self, below: &str) -> Result<Self, PathError> {
        if self.is_root() {
            below.parse()
        } else {
            format!("{}/{below}", self.0).parse()
        }
    }

    /// Whether this path is `folder` or lies anywhere below it.
    #[must_use]
    pub fn starts_with(&self, folder: &Self) -> bool {
        folder.is_root()
            || self
                .0
                .strip_prefix(&folder.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        if text.len() > MAX_PATH_BYTES || text.split('/').any(|part| part.len() > MAX_COMPONENT_BYTES) {
            return Err(PathError::TooLong(text.len()));
        }
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return Err(PathError::Escapes(text.to_owned()));
        }
        if text.split('/').any(|part| part.is_empty() || part == ".") {
            return Err(PathError::Component(text.to_owned()));
        }
        if text.chars().any(|c| c == '\0' || c == '\n' || c == '\r') {
            return Err(PathError::Control(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Borrow<str> for TreePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_image_or_name_nothing_are_refused() {
        for text in ["/etc", "..", "a/../b", "a/.."] {
            assert_eq!(text.parse::<TreePath>(), Err(PathError::Escapes(text.to_owned())));
        }
        for text in [".", "a//b", "a/", "./a"] {
            assert_eq!(
                text.parse::<TreePath>(),
                Err(PathError::Component(text.to_owned()))
            );
        }
        assert_eq!(
            "a\0".parse::<TreePath>(),
            Err(PathError::Control("a\0".to_owned()))
        );
        assert_eq!("a".repeat(256).parse::<TreePath>(), Err(PathError::TooLong(256)));
    }

    #[test]
    fn a_path_starts_with_its_folders_but_not_with_a_name_that_only_begins_alike() {
        let path: TreePath = "usr/lib/x".parse().unwrap();
        assert!(path.starts_with(&"usr/lib".parse().unwrap()) && path.starts_with(&TreePath::root()));
        assert!(!path.starts_with(&"usr/li".parse().unwrap()));
        assert_eq!(path.parent().unwrap().as_str(), "usr/lib");
        assert_eq!((path.file_name(), TreePath::root().parent()), (Some("x"), None));
    }
}
