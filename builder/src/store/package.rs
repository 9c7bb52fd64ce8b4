//! A package as the store gives it back.

use std::{collections::BTreeMap, sync::Arc};

use outcrop_release::digest::FileDigest;

use super::{
    StoreError, TreeStore,
    commits::{CommitText, Commits},
    folders,
    objects::Objects,
};
use crate::{
    deb::Control,
    tree::{Content, Entry, Metadata, Node, Tree, TreePath},
};

/// The folder of a package's commit that holds its control member.
const CONTROL: &str = "control";
/// The folder that holds its files.
const DATA: &str = "data";

/// A package: what it says about itself, and its files as they were packed.
#[derive(Debug, Clone)]
pub struct PackageTree {
    /// SHA-256 of the .deb.
    pub digest: FileDigest,
    /// The control member: fields, scripts, conffiles, triggers, md5sums.
    pub control: Control,
    /// The files; contents lie in the store. Paths are the package's own, before usr-merge.
    pub files: Tree,
}

pub(super) const PREFIX: &str = "deb";

pub(super) fn reference(digest: &FileDigest) -> String {
    format!("{PREFIX}/{digest}")
}

impl TreeStore {
    /// Loads an imported package; none when it isn't in the store.
    ///
    /// # Errors
    /// When the store can't be read or is damaged.
    pub fn package(&self, digest: &FileDigest) -> Result<Option<Arc<PackageTree>>, StoreError> {
        load(&self.commits()?, &self.objects, digest)
    }
}

/// See [`TreeStore::package`].
pub(super) fn load(
    commits: &Commits,
    objects: &Objects,
    digest: &FileDigest,
) -> Result<Option<Arc<PackageTree>>, StoreError> {
    let reference = reference(digest);
    let Some(commit) = commits.resolve(&reference)? else {
        return Ok(None);
    };
    let commit = commits.load(&commit)?;
    let folders = objects.listing(&commit.root.contents)?.folders;
    let folder = |wanted: &str| {
        let found = folders.iter().find(|(name, _)| name == wanted);
        found
            .map(|(_, folder)| *folder)
            .ok_or_else(|| damaged(&reference, format!("it has no folder {wanted:?}")))
    };
    let control = folders::read_tree(objects, folder(CONTROL)?)?;
    let mut files = folders::read_tree(objects, folder(DATA)?)?;
    folders::link(&mut files, &commit.text.hard_links, &reference)?;
    let package = PackageTree {
        digest: *digest,
        control: read_control(&control, &reference)?,
        files,
    };
    Ok(Some(Arc::new(package)))
}

fn read_control(tree: &Tree, reference: &str) -> Result<Control, StoreError> {
    let mut files = BTreeMap::new();
    for (path, entry) in tree.iter() {
        if let Node::File(content, _) = &entry.node {
            let bytes = content
                .read()
                .map_err(|error| damaged(reference, error.to_string()))?;
            files.insert(path.as_str().to_owned(), bytes);
        }
    }
    Control::from_files(files).map_err(|error| damaged(reference, error.to_string()))
}

/// Stores a package whose files are objects of the store already.
pub(super) fn save(commits: &Commits, objects: &Objects, package: &PackageTree) -> Result<(), StoreError> {
    let mut writer = objects.writer();
    let mut root = super::variant::Listing::default();
    for (name, tree) in [(CONTROL, &control_tree(package)), (DATA, &package.files)] {
        let folder = folders::write_tree(objects, &mut writer, tree)?;
        root.folders.push((name.to_owned(), folder));
    }
    let root = writer.folder(&Metadata::root(0o755), &mut root)?;
    let text = CommitText {
        subject: format!("{} {}", package.control.package(), package.control.version()),
        time: 0,
        hard_links: folders::hard_links(&package.files),
        record: None,
        addresses: None,
    };
    commits
        .commit(&reference(&package.digest), root, None, &text)
        .map(|_| ())
}

fn control_tree(package: &PackageTree) -> Tree {
    let mut tree = Tree::new();
    for (name, bytes) in package.control.files() {
        let file = Entry::file(0o644, Content::from(bytes.to_vec()));
        // names of control files are single plain components: the reader checked them
        if let Ok(path) = name.parse::<TreePath>() {
            let _ = tree.insert(path, file);
        }
    }
    tree
}

fn damaged(reference: &str, reason: String) -> StoreError {
    StoreError::Damaged {
        object: reference.to_owned(),
        reason,
    }
}
