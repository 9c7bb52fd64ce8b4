//! What the finish step works from, beside the composed tree.

use std::io;

use outcrop_release::{arch::Architecture, digest::FileDigest};

use super::layers::Layer;
use crate::{
    action::Action,
    progress::Progress,
    recipe::schema::Recipe,
    tree::{Content, Tree, TreePath},
};

/// Everything that [`super::finish`] reads. Nothing else decides over its result.
pub struct Inputs<'a> {
    /// The recipe, includes merged.
    pub recipe: &'a Recipe,
    /// What the image is for.
    pub architecture: Architecture,
    /// The packages whose files are in the tree, by name.
    pub packages: &'a [InstalledPackage],
    /// Folders that Outcrop itself lays over the packages: `images/base`, the board's, the device's programs. Later
    /// ones win; the recipe's own overlays and files win over all of them.
    pub layers: &'a [Layer],
    /// Names of modules that the board's initramfs carries: they are never left out. See
    /// [`super::kernel::names_in_list`].
    pub initramfs_modules: &'a [String],
    /// Where big contents go that a step makes.
    pub contents: &'a dyn ContentStore,
    /// Where the kernel's modules are reported as they are unpacked.
    pub progress: &'a dyn Progress,
}

/// One package of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstalledPackage {
    /// Debian's package name.
    pub name: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// The `control` member: one paragraph, as it stands.
    pub control: String,
    /// The `conffiles` member; empty when there is none.
    pub conffiles: String,
    /// The `md5sums` member; empty when there is none.
    pub md5sums: String,
    /// The paths that it put into the tree, as they are there.
    pub files: Vec<TreePath>,
    /// What its maintainer scripts would have done: all their actions, preinst's first.
    pub actions: Vec<Action>,
}

/// A place for contents that are too many to hold in memory. The tree store is one.
pub trait ContentStore: Sync {
    /// Keeps `bytes` and returns where they are now. Called from several threads at once.
    ///
    /// # Errors
    /// When they can't be written.
    fn keep(&self, bytes: &[u8]) -> io::Result<Content>;

    /// The tree that an earlier build remembered under `key`, if it is still there.
    ///
    /// # Errors
    /// When the store can't be read; an absent or damaged memory is `Ok(None)`.
    fn recall(&self, key: &FileDigest) -> io::Result<Option<Tree>>;

    /// Remembers `tree` under `key` for later builds.
    ///
    /// # Errors
    /// When it can't be written.
    fn remember(&self, key: &FileDigest, tree: &Tree) -> io::Result<()>;
}

/// Keeps contents in memory and forgets trees: for tests.
#[derive(Debug, Default, Clone, Copy)]
pub struct InMemory;

impl ContentStore for InMemory {
    fn keep(&self, bytes: &[u8]) -> io::Result<Content> {
        Ok(Content::from(bytes.to_vec()))
    }

    fn recall(&self, _: &FileDigest) -> io::Result<Option<Tree>> {
        Ok(None)
    }

    fn remember(&self, _: &FileDigest, _: &Tree) -> io::Result<()> {
        Ok(())
    }
}
