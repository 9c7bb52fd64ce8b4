//! The field `Replaces`. Debian Policy 7.6.1.

use std::collections::{HashMap, HashSet};

use debversion::Version;

use super::ComposeError;
use crate::store::PackageTree;

/// Which package takes files over from which, both as indexes into the sorted packages.
#[derive(Debug, Default)]
pub(super) struct Replaces {
    pairs: HashSet<(usize, usize)>,
}

impl Replaces {
    /// Whether `winner` replaces `loser`.
    pub(super) fn says(&self, winner: usize, loser: usize) -> bool {
        self.pairs.contains(&(winner, loser))
    }
}

/// One relation: `name`, `name:arch`, `name (>= version)`.
#[derive(Debug, PartialEq, Eq)]
struct Relation<'a> {
    name: &'a str,
    constraint: Option<(&'a str, Version)>,
}

impl Relation<'_> {
    fn holds_for(&self, version: &Version) -> bool {
        match &self.constraint {
            None => true,
            Some(("<<", bound)) => version < bound,
            // deb-control(5): the single characters mean the inclusive ones
            Some(("<=" | "<", bound)) => version <= bound,
            Some(("=", bound)) => version == bound,
            Some((">=" | ">", bound)) => version >= bound,
            Some((">>", bound)) => version > bound,
            Some(_) => false, // `parse` takes no other
        }
    }
}

/// Reads the fields of all packages.
pub(super) fn read(packages: &[&PackageTree]) -> Result<Replaces, ComposeError> {
    let mut by_name: HashMap<&str, Vec<(usize, &PackageTree)>> = HashMap::new();
    for (index, package) in packages.iter().enumerate() {
        by_name
            .entry(package.control.package())
            .or_default()
            .push((index, package));
    }
    let mut replaces = Replaces::default();
    for (winner, package) in packages.iter().enumerate() {
        let field = package.control.field("Replaces").unwrap_or_default();
        for text in field.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let relation = parse(text).ok_or_else(|| malformed(package, text))?;
            for &(loser, other) in by_name.get(relation.name).into_iter().flatten() {
                let version = other.control.version();
                let version = version.parse().map_err(|_| malformed(other, version))?;
                if relation.holds_for(&version) {
                    replaces.pairs.insert((winner, loser));
                }
            }
        }
    }
    Ok(replaces)
}

fn malformed(package: &PackageTree, text: &str) -> ComposeError {
    ComposeError::Relation {
        package: package.control.package().to_owned(),
        text: text.to_owned(),
    }
}

fn parse(text: &str) -> Option<Relation<'_>> {
    let (name, rest) = match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')')?.trim())),
        None => (text, None),
    };
    let name = name.trim().split(':').next()?; // the architecture: an image has one
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let constraint = match rest {
        None => None,
        Some(rest) => {
            let end = rest.find(|c| !matches!(c, '<' | '=' | '>'))?;
            let (operator, version) = rest.split_at(end);
            let known = matches!(operator, "<<" | "<=" | "<" | "=" | ">=" | ">" | ">>");
            Some((operator, version.trim().parse().ok().filter(|_| known)?))
        }
    };
    Some(Relation { name, constraint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(relation: &str, version: &str) -> bool {
        parse(relation).unwrap().holds_for(&version.parse().unwrap())
    }

    #[test]
    fn relations_compare_versions_as_debian_does() {
        assert!(holds("x", "1") && holds("x:any (<< 2.0)", "2.0~rc1"));
        assert!(!holds("x (<< 2.0)", "2.0") && holds("x (<= 2.0)", "2.0"));
        assert!(holds("x (<2.0)", "2.0") && holds("x (>> 1:0)", "1:0.1") && !holds("x (>= 1:0)", "9"));
        assert!(holds("x (= 10)", "10") && !holds("x (= 9)", "10"));
    }

    #[test]
    fn malformed_relations_are_no_relations() {
        for text in ["", "(>= 1)", "x (>= 1", "x (~ 1)", "x (== 1)", "x y", "x ()"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
