//! A place on the data partition that belongs to the release that runs.

use std::{fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};

/// The data partition.
const DATA: &str = "/var/";
/// Outcrop's own folder there: snapshots of it would hold themselves.
const OWN: &str = "/var/lib/outcrop";

/// A file or folder below `/var`, in its shortest form: `/var/lib/kube`. Neither Outcrop's own folder, nor in it, nor above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatePath(String);

/// A text that names no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't be bound to a release: it takes an absolute path below /var, without `.` and `..`, that doesn't hold /var/lib/outcrop and isn't in it"
)]
pub struct BadStatePath(pub String);

impl StatePath {
    /// The absolute path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// Whether `other` is this place or lies in it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        other.as_path().starts_with(self.as_path())
    }
}

impl FromStr for StatePath {
    type Err = BadStatePath;

    fn from_str(text: &str) -> Result<Self, BadStatePath> {
        let inner = text.strip_prefix(DATA).unwrap_or_default();
        let is_plain = inner
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains(char::is_control));
        let (path, own) = (Path::new(text), Path::new(OWN));
        if is_plain && !path.starts_with(own) && !own.starts_with(path) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadStatePath(text.to_owned()))
        }
    }
}

impl TryFrom<String> for StatePath {
    type Error = BadStatePath;

    fn try_from(text: String) -> Result<Self, BadStatePath> {
        text.parse()
    }
}

impl From<StatePath> for String {
    fn from(path: StatePath) -> Self {
        path.0
    }
}

impl fmt::Display for StatePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Two of `paths` of which the second lies in the first, or is the same.
pub(super) fn nested(paths: &[StatePath]) -> Option<(&StatePath, &StatePath)> {
    paths.iter().enumerate().find_map(|(index, outer)| {
        let others = paths.iter().enumerate().filter(|(other, _)| *other != index);
        others
            .map(|(_, inner)| inner)
            .find(|inner| outer.holds(inner))
            .map(|inner| (outer, inner))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_below_var_are_taken_but_not_outcrop_s_own() {
        for good in ["/var/lib/kube", "/var/lib/outcrop-x", "/var/a b"] {
            assert_eq!(good.parse::<StatePath>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "/",
            "/var",
            "/var/",
            "/var/lib",
            "/var/lib/outcrop",
            "/var/lib/outcrop/state",
            "/etc/x",
            "var/lib/x",
            "/var/lib/../etc",
            "/var/./x",
            "/var//x",
            "/var/x/",
            "/var/x\n",
        ] {
            assert_eq!(bad.parse::<StatePath>(), Err(BadStatePath(bad.to_owned())));
        }
    }

    #[test]
    fn a_place_in_another_is_found() {
        let paths = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<StatePath>>()
        };
        assert_eq!(nested(&paths(&["/var/a", "/var/ab", "/var/b/a"])), None);
        assert!(nested(&paths(&["/var/a/b", "/var/a"])).is_some());
        assert!(nested(&paths(&["/var/a", "/var/a"])).is_some());
    }
}
