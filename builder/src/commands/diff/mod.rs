//! `outcrop diff`: what changed between two releases.

pub mod changes;
#[cfg(test)]
mod command_tests;
pub mod image;
pub mod sources;
#[cfg(test)]
mod tests;
pub mod text;
pub mod view;

use std::{collections::BTreeMap, fmt::Write as _};

use outcrop_release::arch::Architecture;

pub use sources::DiffError;

use self::{
    changes::{ReleaseDiff, compare},
    sources::{Source, Views},
    text::Text,
    view::Identity,
};
use super::Context;
use crate::error::Error;

/// `outcrop diff`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// The older release: an image, a lock file, or an image in the tree store.
    pub old: String,
    /// The newer release, likewise.
    pub new: String,
    /// Tell every path that differs.
    pub files: bool,
    /// JSON instead of text.
    pub json: bool,
}

/// Compares two releases, and prints what differs.
///
/// # Errors
/// When one of them doesn't exist or can't be read, or they have no architecture in common.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let store = context.cache()?.store();
    let old = Source::find(&options.old, &store, context.progress.as_ref()).map_err(Error::Diff)?;
    let new = Source::find(&options.new, &store, context.progress.as_ref()).map_err(Error::Diff)?;
    let identity = match (old.identity(), new.identity()) {
        (Identity::Object, Identity::Object) => Identity::Object,
        _ => Identity::Content,
    };
    let old_views = old.views(&options.old, identity).map_err(Error::Diff)?;
    let new_views = new.views(&options.new, identity).map_err(Error::Diff)?;
    let diffs = compare_views(&old_views, &new_views);
    if diffs.is_empty() {
        return Err(Error::Diff(DiffError::Architectures {
            old: options.old.clone(),
            new: options.new.clone(),
        }));
    }
    context.print(if options.json {
        json(&diffs)
    } else {
        text(&diffs, options.files)
    })
}

/// One difference per architecture that both have.
fn compare_views(old: &Views, new: &Views) -> BTreeMap<Architecture, ReleaseDiff> {
    old.iter()
        .filter_map(|(architecture, old)| Some((*architecture, compare(old, new.get(architecture)?))))
        .collect()
}

/// An object with one member per architecture.
fn json(diffs: &BTreeMap<Architecture, ReleaseDiff>) -> String {
    let members: serde_json::Map<String, serde_json::Value> = diffs
        .iter()
        .map(|(architecture, diff)| (architecture.to_string(), serde_json::json!(diff)))
        .collect();
    format!("{:#}\n", serde_json::Value::Object(members))
}

/// Architectures that differ in the same are told once.
fn text(diffs: &BTreeMap<Architecture, ReleaseDiff>, every_file: bool) -> String {
    let mut groups: Vec<(String, &ReleaseDiff)> = Vec::new();
    for (architecture, diff) in diffs {
        match groups.iter_mut().find(|(_, known)| *known == diff) {
            Some((heading, _)) => {
                write!(heading, ", {architecture}").unwrap_or_default();
            }
            None => groups.push((architecture.to_string(), diff)),
        }
    }
    let texts: Vec<String> = groups
        .iter()
        .map(|(heading, diff)| {
            Text {
                diff,
                heading,
                every_file,
            }
            .to_string()
        })
        .collect();
    texts.join("\n")
}
