//! `scripts.toml`: what people have read, and what they found.

use std::{collections::HashMap, sync::LazyLock};

use outcrop_release::digest::FileDigest;
use serde::Deserialize;

use crate::{action::Action, lock::format::ScriptKind};

/// One review.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Package name; `linux-image-@RELEASE@` for kernels.
    pub package: String,
    /// Which script.
    pub script: ScriptKind,
    /// Digests of the residues that were read: see [`super::Residue`]. More than one where architectures or versions
    /// differ in ways that don't matter.
    pub residue: Vec<String>,
    /// Why nothing is lost.
    pub verdict: String,
    /// What is done instead, beside the actions of the recognised lines.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// Actions of recognised lines that are not to be taken. The digest doesn't cover those lines: what they newly want is
    /// in no list, and is done.
    #[serde(default)]
    pub drops: Vec<Action>,
}

impl Review {
    /// What is done: the `recognised` lines' actions but those that the review drops, then its own.
    pub(super) fn replace(&self, recognised: Vec<Action>) -> Vec<Action> {
        let kept = recognised
            .into_iter()
            .filter(|action| !self.drops.contains(action));
        kept.chain(self.actions.iter().cloned()).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    review: Vec<Review>,
}

type Index = HashMap<(String, ScriptKind, FileDigest), Review>;

static REVIEWS: LazyLock<Result<Index, String>> = LazyLock::new(|| index(include_str!("../scripts.toml")));

/// Finds the review of a residue.
///
/// # Errors
/// When the file that is built in can't be read; a test sees to it that it can.
pub(super) fn find(
    package: &str,
    kind: ScriptKind,
    residue: &FileDigest,
) -> Result<Option<&'static Review>, String> {
    let index = REVIEWS.as_ref().map_err(String::clone)?;
    Ok(index.get(&(package.to_owned(), kind, *residue)))
}

fn index(text: &str) -> Result<Index, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut index = Index::new();
    for review in file.review {
        for digest in &review.residue {
            let digest = digest
                .parse()
                .map_err(|error| format!("{}: {error}", review.package))?;
            let key = (review.package.clone(), review.script, digest);
            if index.insert(key, review.clone()).is_some() {
                return Err(format!(
                    "{} {} is reviewed twice",
                    review.package,
                    review.script.as_str()
                ));
            }
        }
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_review_can_be_read_and_says_why() {
        let index = REVIEWS.as_ref().unwrap();
        assert!(!index.is_empty());
        for review in index.values() {
            assert!(
                review.verdict.ends_with('.') && review.verdict.len() > 20,
                "{}",
                review.package
            );
        }
    }

    #[test]
    fn the_reviews_are_sorted_and_none_is_there_twice() {
        let file: File = toml::from_str(include_str!("../scripts.toml")).unwrap();
        let keys: Vec<_> = file
            .review
            .iter()
            .map(|review| (&review.package, review.script, &review.residue))
            .collect();
        assert!(keys.is_sorted(), "sort scripts.toml by package and script");
    }

    #[test]
    fn a_malformed_review_is_refused() {
        for text in ["[[review]]\npackage = \"x\"", "[[review]]\nunknown = 1", "x"] {
            assert!(index(text).is_err());
        }
        let review = "[[review]]\npackage = \"a\"\nscript = \"postinst\"\nverdict = \"v\"\n";
        assert!(
            index(&format!("{review}residue = [\"zz\"]"))
                .unwrap_err()
                .contains("64 hexadecimal")
        );
        let twice = format!("{review}residue = [\"{0}\", \"{0}\"]", FileDigest::of(b""));
        assert!(index(&twice).unwrap_err().contains("twice"));
    }
}
