//! The file tree of an image, in memory: names and metadata here, contents in the tree store.
//!
//! Every step between packages and EROFS takes a [`Tree`] and gives one back. It holds no device nodes, sockets or
//! pipes: packages that carry them are refused when they are read, so no later step has to think of them.

pub mod content;
pub mod path;

use std::{collections::BTreeMap, ops::Bound};

pub use content::{Content, StoredObject};
pub use path::{PathError, TreePath};

/// Owner, permissions and extended attributes of a tree entry. Times are not kept: an image has one time for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: the low 12 bits of `st_mode`. A symbolic link has 0o777.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Extended attributes by full name (`security.capability`).
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Metadata {
    /// Owned by root, with these permission bits, no attributes.
    #[must_use]
    pub const fn root(mode: u16) -> Self {
        Self {
            mode: mode & 0o7777,
            uid: 0,
            gid: 0,
            xattrs: BTreeMap::new(),
        }
    }
}

/// Number of a hard-linked file within one tree: entries with the same number are one inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkGroup(pub u32);

/// What a path is.
#[derive(Debug, Clone)]
pub enum Node {
    /// A folder; its entries are the paths below it.
    Directory,
    /// A regular file; with a group when it has several names.
    File(Content, Option<LinkGroup>),
    /// A symbolic link with its target as given.
    Symlink(String),
}

/// One path's node and metadata.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Owner, permissions, attributes.
    pub metadata: Metadata,
    /// What it is.
    pub node: Node,
}

impl Entry {
    /// A folder owned by root.
    #[must_use]
    pub const fn directory(mode: u16) -> Self {
        Self {
            metadata: Metadata::root(mode),
            node: Node::Directory,
        }
    }

    /// A regular file owned by root.
    #[must_use]
    pub fn file(mode: u16, content: impl Into<Content>) -> Self {
        Self {
            metadata: Metadata::root(mode),
            node: Node::File(content.into(), None),
        }
    }

    /// A symbolic link owned by root.
    #[must_use]
    pub fn symlink(target: &str) -> Self {
        Self {
            metadata: Metadata::root(0o777),
            node: Node::Symlink(target.to_owned()),
        }
    }

    /// Whether this is a folder.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.node, Node::Directory)
    }
}

/// Why an entry can't be put into a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The parent doesn't exist or isn't a folder.
    #[error("put {0} into the tree: its parent is no folder")]
    NoParent(TreePath),
    /// A folder would be replaced by something else, or the reverse.
    #[error("put {0} into the tree: a folder and something else claim the path")]
    Kind(TreePath),
}

/// A file tree. The root always exists, and the parent of every path is a folder.
#[derive(Debug, Clone)]
pub struct Tree {
    entries: BTreeMap<TreePath, Entry>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            entries: BTreeMap::from([(TreePath::root(), Entry::directory(0o755))]),
        }
    }
}

impl Tree {
    /// A tree with nothing but its root, 0755.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The entry at `path`; symbolic links are not followed.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Mutable access to the metadata at `path`. The node's kind is changed by [`Tree::insert`] only.
    pub fn metadata_mut(&mut self, path: &str) -> Option<&mut Metadata> {
        self.entries.get_mut(path).map(|entry| &mut entry.metadata)
    }

    /// Whether anything is at `path`.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Puts `entry` at `path`, replacing a file or link there, or a folder's metadata by a folder's.
    ///
    /// # Errors
    /// When the parent is no folder, or a folder would replace something else or the reverse.
    pub fn insert(&mut self, path: TreePath, entry: Entry) -> Result<(), TreeError> {
        if let Some(parent) = path.parent()
            && !self.get(parent.as_str()).is_some_and(Entry::is_directory)
        {
            return Err(TreeError::NoParent(path));
        }
        if self
            .get(path.as_str())
            .is_some_and(|old| old.is_directory() != entry.is_directory())
        {
            return Err(TreeError::Kind(path));
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Like [`Tree::insert`], and makes missing parents as folders of root, 0755.
    ///
    /// # Errors
    /// As [`Tree::insert`].
    pub fn insert_all(&mut self, path: TreePath, entry: Entry) -> Result<(), TreeError> {
        self.make_directories(path.parent())?;
        self.insert(path, entry)
    }

    fn make_directories(&mut self, folder: Option<TreePath>) -> Result<(), TreeError> {
        let mut missing = Vec::new();
        let mut next = folder;
        while let Some(path) = next.filter(|path| !self.contains(path.as_str())) {
            next = path.parent();
            missing.push(path);
        }
        missing
            .into_iter()
            .rev()
            .try_for_each(|path| self.insert(path, Entry::directory(0o755)))
    }

    /// Removes `path` and everything below it; returns how many entries that were. The root stays.
    pub fn remove(&mut self, path: &TreePath) -> usize {
        let below: Vec<TreePath> = self.below(path).map(|(found, _)| found.clone()).collect();
        for found in &below {
            self.entries.remove(found.as_str());
        }
        let itself = usize::from(!path.is_root() && self.entries.remove(path.as_str()).is_some());
        below.len() + itself
    }

    /// All entries with the root first, by bytes of the path: a folder always precedes what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.entries.iter()
    }

    /// Everything below `folder`, without itself, by bytes of the path.
    pub fn below<'a>(
        &'a self,
        folder: &TreePath,
    ) -> impl Iterator<Item = (&'a TreePath, &'a Entry)> + use<'a> {
        let prefix = if folder.is_root() {
            String::new()
        } else {
            format!("{}/", folder.as_str())
        };
        let start = prefix.clone();
        self.entries
            .range::<str, _>((Bound::Excluded(start.as_str()), Bound::Unbounded))
            .take_while(move |(path, _)| path.as_str().starts_with(&prefix))
    }

    /// The direct entries of `folder`, by bytes of the name.
    pub fn children<'a>(
        &'a self,
        folder: &TreePath,
    ) -> impl Iterator<Item = (&'a TreePath, &'a Entry)> + use<'a> {
        let skip = if folder.is_root() {
            0
        } else {
            folder.as_str().len() + 1
        };
        self.below(folder)
            .filter(move |(path, _)| !path.as_str()[skip..].contains('/'))
    }

    /// How many entries there are, the root included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing but the root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        text.parse().unwrap()
    }

    fn names<'a>(entries: impl Iterator<Item = (&'a TreePath, &'a Entry)>) -> Vec<&'a str> {
        entries.map(|(path, _)| path.as_str()).collect()
    }

    fn sample() -> Tree {
        let mut tree = Tree::new();
        for file in ["usr/lib/a", "usr/lib.d/b", "usr/lib/c/d", "usr/lib-x"] {
            tree.insert_all(path(file), Entry::file(0o644, file)).unwrap();
        }
        tree
    }

    #[test]
    fn a_folder_lists_what_is_in_it_and_not_its_look_alikes() {
        let tree = sample();
        assert_eq!(
            names(tree.below(&path("usr/lib"))),
            ["usr/lib/a", "usr/lib/c", "usr/lib/c/d"]
        );
        assert_eq!(names(tree.children(&path("usr/lib"))), ["usr/lib/a", "usr/lib/c"]);
        assert_eq!(names(tree.children(&TreePath::root())), ["usr"]);
    }

    #[test]
    fn removing_a_folder_removes_what_is_in_it_only() {
        let mut tree = sample();
        assert_eq!(tree.remove(&path("usr/lib")), 4);
        assert_eq!(
            names(tree.below(&path("usr"))),
            ["usr/lib-x", "usr/lib.d", "usr/lib.d/b"]
        );
    }

    #[test]
    fn a_folder_and_a_file_never_replace_each_other() {
        let mut tree = sample();
        assert_eq!(
            tree.insert(path("usr/lib"), Entry::symlink("x")),
            Err(TreeError::Kind(path("usr/lib")))
        );
        assert_eq!(
            tree.insert(path("usr/lib/a"), Entry::directory(0o755)),
            Err(TreeError::Kind(path("usr/lib/a")))
        );
        assert_eq!(
            tree.insert(path("no/where"), Entry::symlink("x")),
            Err(TreeError::NoParent(path("no/where")))
        );
        assert_eq!(
            tree.insert_all(path("usr/lib/a/b"), Entry::symlink("x")),
            Err(TreeError::NoParent(path("usr/lib/a/b")))
        );
    }
}
