//! The difference between two views. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::view::{FileFacts, FileKind, ReleaseView};
use crate::tree::TreePath;

/// What changed from one release to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseDiff {
    /// The older release's label.
    pub old: String,
    /// The newer release's label.
    pub new: String,
    /// Packages that came, went or changed their version, by name.
    pub packages: Vec<Change<String>>,
    /// The kernel's release, when it changed; null when unknown on one side.
    pub kernel: Option<Change<String>>,
    /// Kernel options that came.
    pub options_added: Vec<String>,
    /// Kernel options that went.
    pub options_removed: Vec<String>,
    /// Whether the options are the same in another order: the last of contradicting ones counts.
    pub options_reordered: bool,
    /// Sizes that changed, in bytes.
    pub sizes: Vec<Change<u64>>,
    /// Files; null when one side has none to compare (a lock).
    pub files: Option<FileChanges>,
}

/// One thing that came (no `old`), went (no `new`) or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// What.
    pub name: String,
    /// Before.
    pub old: Option<T>,
    /// After.
    pub new: Option<T>,
}

/// Files that came, went or changed, by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct FileChanges {
    /// New paths.
    pub added: Vec<FileChange>,
    /// Paths that are gone.
    pub removed: Vec<FileChange>,
    /// Paths with another kind, content or metadata.
    pub changed: Vec<FileChange>,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Without leading slash.
    pub path: String,
    /// Bytes of content before; 0 for what is no file.
    pub old_size: u64,
    /// Bytes of content after.
    pub new_size: u64,
    /// What differs; empty for paths that came or went.
    pub what: Vec<Aspect>,
}

/// In what a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// A file became a folder, or the like.
    Kind,
    /// Other bytes, or another link target.
    Content,
    /// Other permission bits.
    Mode,
    /// Another owner or group.
    Owner,
    /// Other extended attributes.
    Attributes,
}

/// Compares two releases.
#[must_use]
pub fn compare(old: &ReleaseView, new: &ReleaseView) -> ReleaseDiff {
    let (options_added, options_removed, options_reordered) = options(old, new);
    ReleaseDiff {
        old: old.label.clone(),
        new: new.label.clone(),
        packages: changes(&old.packages, &new.packages),
        kernel: (old.kernel.is_some() && new.kernel.is_some() && old.kernel != new.kernel).then(|| Change {
            name: "kernel".to_owned(),
            old: old.kernel.clone(),
            new: new.kernel.clone(),
        }),
        options_added,
        options_removed,
        options_reordered,
        sizes: changes(&old.sizes, &new.sizes)
            .into_iter()
            .filter(|change| change.old.is_some() && change.new.is_some())
            .collect(),
        files: old
            .files
            .as_ref()
            .zip(new.files.as_ref())
            .map(|(old, new)| files(old, new)),
    }
}

impl ReleaseDiff {
    /// Whether the releases are the same in everything that is compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
            && self.kernel.is_none()
            && self.options_added.is_empty()
            && self.options_removed.is_empty()
            && !self.options_reordered
            && self.sizes.is_empty()
            && self.files.as_ref().is_none_or(FileChanges::is_empty)
    }
}

impl FileChanges {
    /// Whether no path differs.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

fn changes<T: Clone + PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Vec<Change<T>> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| Change {
            name: name.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
        })
        .collect()
}

/// Options that came and went, each as often as it did; and whether only the order differs.
fn options(old: &ReleaseView, new: &ReleaseView) -> (Vec<String>, Vec<String>, bool) {
    let (Some(old), Some(new)) = (&old.command_line, &new.command_line) else {
        return (Vec::new(), Vec::new(), false);
    };
    let missing_in = |from: &[String], other: &[String]| -> Vec<String> {
        let mut left = other.to_vec();
        let gone = |option: &&String| match left.iter().position(|other| other == *option) {
            Some(index) => {
                left.remove(index);
                false
            }
            None => true,
        };
        from.iter().filter(gone).cloned().collect()
    };
    let (added, removed) = (missing_in(new, old), missing_in(old, new));
    let reordered = added.is_empty() && removed.is_empty() && old != new;
    (added, removed, reordered)
}

fn files(old: &BTreeMap<TreePath, FileFacts>, new: &BTreeMap<TreePath, FileFacts>) -> FileChanges {
    let mut changes = FileChanges::default();
    let paths: BTreeSet<&TreePath> = old.keys().chain(new.keys()).collect();
    for path in paths {
        let (before, after) = (old.get(path), new.get(path));
        let change = FileChange {
            path: path.as_str().to_owned(),
            old_size: before.map_or(0, FileFacts::size),
            new_size: after.map_or(0, FileFacts::size),
            what: before
                .zip(after)
                .map(|(old, new)| aspects(old, new))
                .unwrap_or_default(),
        };
        match (before, after) {
            (None, _) => changes.added.push(change),
            (_, None) => changes.removed.push(change),
            _ if !change.what.is_empty() => changes.changed.push(change),
            _ => {}
        }
    }
    changes
}

fn aspects(old: &FileFacts, new: &FileFacts) -> Vec<Aspect> {
    let same_kind = matches!(
        (&old.kind, &new.kind),
        (FileKind::Directory, FileKind::Directory)
            | (FileKind::File { .. }, FileKind::File { .. })
            | (FileKind::Symlink(_), FileKind::Symlink(_))
    );
    let (before, after) = (&old.metadata, &new.metadata);
    [
        (Aspect::Kind, !same_kind),
        (Aspect::Content, same_kind && old.kind != new.kind),
        (Aspect::Mode, before.mode != after.mode),
        (Aspect::Owner, (before.uid, before.gid) != (after.uid, after.gid)),
        (Aspect::Attributes, before.xattrs != after.xattrs),
    ]
    .into_iter()
    .filter_map(|(aspect, differs)| differs.then_some(aspect))
    .collect()
}
