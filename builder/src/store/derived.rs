//! What a step made of packages, kept for the next build: kernel modules without their compression, for one.

use std::io;

use outcrop_release::digest::FileDigest;

use super::{StoreError, TreeStore, commits::CommitText, folders};
use crate::{
    finish::ContentStore,
    tree::{Content, Metadata, Tree, TreePath},
};

pub(super) const PREFIX: &str = "derived";

pub(super) fn reference(key: &FileDigest) -> String {
    format!("{PREFIX}/{key}")
}

impl TreeStore {
    /// Stores what `bytes` gives, to its end, as the content of a file with `metadata`.
    ///
    /// # Errors
    /// When `bytes` can't be read or the store can't be written.
    pub fn keep_file(&self, metadata: &Metadata, bytes: &mut dyn io::Read) -> Result<Content, StoreError> {
        self.begin_writing()?;
        let mut writer = self.objects.writer();
        let object = writer.regular(&TreePath::root(), metadata, bytes)?;
        Ok(Content::Stored(std::sync::Arc::new(object)))
    }

    /// The tree that [`TreeStore::remember_tree`] kept under `key`.
    ///
    /// # Errors
    /// When the store can't be read or is damaged.
    pub fn recall_tree(&self, key: &FileDigest) -> Result<Option<Tree>, StoreError> {
        let reference = reference(key);
        let commits = self.commits()?;
        let Some(commit) = commits.resolve(&reference)? else {
            return Ok(None);
        };
        let commit = commits.load(&commit)?;
        let mut tree = folders::read_tree(&self.objects, commit.root)?;
        folders::link(&mut tree, &commit.text.hard_links, &reference)?;
        Ok(Some(tree))
    }

    /// Keeps `tree` under `key`: a digest of everything that it was made from, and of how.
    ///
    /// # Errors
    /// When content can't be read or the store can't be written.
    pub fn remember_tree(&self, key: &FileDigest, tree: &Tree) -> Result<(), StoreError> {
        let text = CommitText {
            subject: "derived".to_owned(),
            time: 0,
            hard_links: folders::hard_links(tree),
            record: None,
            addresses: None,
        };
        self.begin_writing()?;
        let root = folders::write_tree(&self.objects, &mut self.objects.writer(), tree)?;
        let commits = self.commits()?;
        commits.commit(&reference(key), root, None, &text).map(|_| ())
    }
}

impl ContentStore for TreeStore {
    fn keep(&self, mut bytes: &[u8]) -> io::Result<Content> {
        self.keep_file(&Metadata::root(0o644), &mut bytes)
            .map_err(io::Error::other)
    }

    fn recall(&self, key: &FileDigest) -> io::Result<Option<Tree>> {
        match self.recall_tree(key) {
            Err(StoreError::Damaged { .. }) => Ok(None),
            result => result.map_err(io::Error::other),
        }
    }

    fn remember(&self, key: &FileDigest, tree: &Tree) -> io::Result<()> {
        self.remember_tree(key, tree).map_err(io::Error::other)
    }
}
