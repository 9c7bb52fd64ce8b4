//! From the tree's paths to inodes: links are joined, folders get their listings.

use std::collections::{BTreeMap, HashMap};

use super::InodeIndex;
use crate::{
    erofs::{
        ErofsError,
        directory::{Listing, Name},
        inode::FileType,
        xattr,
    },
    tree::{Content, Entry, LinkGroup, Metadata, Node, Tree, TreePath},
};

/// Longest link target that Linux follows: `PATH_MAX` less the final NUL.
const MAX_TARGET_BYTES: usize = 4095;

/// One inode to be placed.
#[derive(Debug, Clone)]
pub(in crate::erofs) struct Planned {
    /// Its first name.
    pub(in crate::erofs) path: TreePath,
    pub(in crate::erofs) mode: u16,
    pub(in crate::erofs) uid: u32,
    pub(in crate::erofs) gid: u32,
    pub(in crate::erofs) links: u32,
    pub(in crate::erofs) xattr_area: Vec<u8>,
    pub(in crate::erofs) body: Body,
}

/// What an inode holds.
#[derive(Debug, Clone)]
pub(in crate::erofs) enum Body {
    Directory(Listing<InodeIndex>),
    File(Content),
    Symlink(String),
}

/// The tree's inodes in the order of their first paths, the root first.
pub(super) fn collect(tree: &Tree) -> Result<Vec<Planned>, ErofsError> {
    let mut collector = Collector::default();
    for (path, entry) in tree.iter() {
        collector.add(path, entry)?;
    }
    Ok(collector.finish())
}

#[derive(Default)]
struct Collector<'t> {
    inodes: Vec<Planned>,
    /// Folders by path: only looked up, never iterated.
    folders: HashMap<&'t str, Folder>,
    groups: BTreeMap<LinkGroup, (InodeIndex, &'t Metadata)>,
}

struct Folder {
    inode: InodeIndex,
    names: Vec<Name<InodeIndex>>,
    folders: u32,
}

impl<'t> Collector<'t> {
    fn add(&mut self, path: &'t TreePath, entry: &'t Entry) -> Result<(), ErofsError> {
        let (index, kind) = match &entry.node {
            Node::Directory => (self.add_folder(path, &entry.metadata)?, FileType::Directory),
            Node::Symlink(target) => {
                let target = checked_target(path, target)?;
                let index = self.push(path, &entry.metadata, Body::Symlink(target))?;
                (index, FileType::Symlink)
            }
            Node::File(content, group) => {
                let index = self.add_file(path, &entry.metadata, content, *group)?;
                (index, FileType::Regular)
            }
        };
        self.name(path, index, kind);
        Ok(())
    }

    fn push(&mut self, path: &TreePath, metadata: &Metadata, body: Body) -> Result<InodeIndex, ErofsError> {
        let xattr_area = xattr::encode(&metadata.xattrs).map_err(|source| ErofsError::Xattr {
            path: path.clone(),
            source,
        })?;
        let index = InodeIndex(self.inodes.len());
        self.inodes.push(Planned {
            path: path.clone(),
            mode: metadata.mode & 0o7777,
            uid: metadata.uid,
            gid: metadata.gid,
            links: 1,
            xattr_area,
            body,
        });
        Ok(index)
    }

    fn add_folder(&mut self, path: &'t TreePath, metadata: &Metadata) -> Result<InodeIndex, ErofsError> {
        let inode = self.push(path, metadata, Body::Directory(Listing::new(Vec::new())))?;
        let parent = path
            .parent()
            .and_then(|parent| self.folders.get(parent.as_str()))
            .map_or(inode, |parent| parent.inode);
        let names = vec![dot(b".", inode), dot(b"..", parent)];
        let folder = Folder {
            inode,
            names,
            folders: 0,
        };
        self.folders.insert(path.as_str(), folder);
        Ok(inode)
    }

    fn add_file(
        &mut self,
        path: &TreePath,
        metadata: &'t Metadata,
        content: &Content,
        group: Option<LinkGroup>,
    ) -> Result<InodeIndex, ErofsError> {
        if let Some((index, first)) = group.and_then(|group| self.groups.get(&group)) {
            let index = *index;
            let same = metadata == *first;
            return self.link(path, index, content, same).map(|()| index);
        }
        let index = self.push(path, metadata, Body::File(content.clone()))?;
        if let Some(group) = group {
            self.groups.insert(group, (index, metadata));
        }
        Ok(index)
    }

    /// Counts `path` as one more name of the inode at `index`.
    fn link(
        &mut self,
        path: &TreePath,
        index: InodeIndex,
        content: &Content,
        same_metadata: bool,
    ) -> Result<(), ErofsError> {
        let Some(inode) = self.inodes.get_mut(index.0) else {
            return Ok(());
        };
        if !same_metadata || !matches!(&inode.body, Body::File(first) if same_content(first, content)) {
            return Err(ErofsError::LinkMismatch {
                path: path.clone(),
                first: inode.path.clone(),
            });
        }
        inode.links = inode.links.saturating_add(1);
        Ok(())
    }

    /// Enters the name into its folder, which the tree lists before what is in it.
    fn name(&mut self, path: &TreePath, inode: InodeIndex, kind: FileType) {
        let folder = path
            .parent()
            .and_then(|parent| self.folders.get_mut(parent.as_str()));
        if let (Some(name), Some(folder)) = (path.file_name(), folder) {
            folder.folders += u32::from(kind == FileType::Directory);
            folder.names.push(Name {
                name: name.as_bytes().to_vec(),
                inode,
                kind,
            });
        }
    }

    fn finish(mut self) -> Vec<Planned> {
        for inode in &mut self.inodes {
            let folder = matches!(inode.body, Body::Directory(_))
                .then(|| self.folders.remove(inode.path.as_str()))
                .flatten();
            if let Some(folder) = folder {
                inode.links = folder.folders.saturating_add(2); // its name, and its own `.`
                inode.body = Body::Directory(Listing::new(folder.names));
            }
        }
        self.inodes
    }
}

fn dot(name: &[u8], inode: InodeIndex) -> Name<InodeIndex> {
    Name {
        name: name.to_vec(),
        inode,
        kind: FileType::Directory,
    }
}

fn checked_target(path: &TreePath, target: &str) -> Result<String, ErofsError> {
    if target.is_empty() || target.len() > MAX_TARGET_BYTES || target.contains('\0') {
        return Err(ErofsError::Target {
            path: path.clone(),
            bytes: target.len(),
        });
    }
    Ok(target.to_owned())
}

/// Whether two contents are the same without reading a file: equal bytes, or one object of the store.
fn same_content(a: &Content, b: &Content) -> bool {
    match (a, b) {
        (Content::Bytes(a), Content::Bytes(b)) => a == b,
        (Content::Stored(a), Content::Stored(b)) => a == b,
        (Content::Bytes(_), Content::Stored(_)) | (Content::Stored(_), Content::Bytes(_)) => false,
    }
}
