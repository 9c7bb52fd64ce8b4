//! Lists an image, and finds single paths in it.

use std::{collections::HashSet, vec};

use super::{Entry, Fault, Node, ReadError, Reader, load::Loaded, malformed, names::Child};
use crate::{erofs::inode::FileType, read_at::ReadAt, tree::TreePath};

/// An image that makes the walk read more than this many times its own size is refused. Names of one inode read it
/// once each, so honest images exceed 1, but not by much.
const BUDGET_FACTOR: u64 = 64;

/// Every name of an image, a folder before what is in it, names in order. Ends after the first error.
#[derive(Debug)]
pub struct Walk<'r, R> {
    reader: &'r Reader<R>,
    state: State,
    folders: Vec<Frame>,
    /// Folders seen: each has one parent.
    seen: HashSet<u64>,
    /// Bytes that may still be read.
    budget: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Start,
    Running,
    Done,
}

#[derive(Debug)]
struct Frame {
    path: TreePath,
    inode: u64,
    children: vec::IntoIter<Child>,
}

impl<R: ReadAt> Reader<R> {
    /// Lists the image, the root first.
    #[must_use]
    pub fn walk(&self) -> Walk<'_, R> {
        Walk {
            reader: self,
            state: State::Start,
            folders: Vec::new(),
            seen: HashSet::new(),
            budget: self.size_bytes().saturating_mul(BUDGET_FACTOR),
        }
    }

    /// The entry at `path`; none when there is none. Links are not followed.
    ///
    /// # Errors
    /// When the image is malformed on the way there.
    pub fn find(&self, path: &TreePath) -> Result<Option<Entry>, ReadError> {
        let mut folder = self.load_root()?;
        let mut parent = folder.number;
        for component in path.components() {
            if folder.kind != FileType::Directory {
                return Ok(None);
            }
            let children = self.children(&folder, parent)?;
            let Some(child) = children.into_iter().find(|child| child.name == component) else {
                return Ok(None);
            };
            parent = folder.number;
            folder = self.load_child(&child)?;
        }
        self.entry(path.clone(), folder).map(Some)
    }

    fn load_root(&self) -> Result<Loaded, ReadError> {
        let root = self.load(u64::from(self.superblock().root))?;
        if root.kind == FileType::Directory {
            Ok(root)
        } else {
            Err(malformed(root.number, Fault::Root))
        }
    }

    fn load_child(&self, child: &Child) -> Result<Loaded, ReadError> {
        let loaded = self.load(child.inode)?;
        if loaded.kind == child.kind {
            Ok(loaded)
        } else {
            Err(malformed(child.inode, Fault::EntryType))
        }
    }

    fn entry(&self, path: TreePath, loaded: Loaded) -> Result<Entry, ReadError> {
        let node = match loaded.kind {
            FileType::Directory => Node::Directory,
            FileType::Symlink => Node::Symlink(self.target(&loaded)?),
            FileType::Regular => Node::File {
                size: loaded.size,
                extents: loaded.extents,
            },
            special => Node::Special(special),
        };
        Ok(Entry {
            path,
            metadata: loaded.metadata,
            node,
            inode: loaded.number,
            links: loaded.links,
            time: loaded.time,
            size: loaded.size,
            record: loaded.record,
            blocks: loaded.blocks,
        })
    }
}

impl<R: ReadAt> Walk<'_, R> {
    fn step(&mut self) -> Result<Option<Entry>, ReadError> {
        if self.state == State::Start {
            self.state = State::Running;
            let root = self.reader.load_root()?;
            let parent = root.number;
            return self.enter(TreePath::root(), root, parent).map(Some);
        }
        while let Some(frame) = self.folders.last_mut() {
            let Some(child) = frame.children.next() else {
                self.folders.pop();
                continue;
            };
            let parent = frame.inode;
            let path = frame
                .path
                .join(&child.name)
                .map_err(|_| malformed(parent, Fault::Name))?;
            let loaded = self.reader.load_child(&child)?;
            return self.enter(path, loaded, parent).map(Some);
        }
        Ok(None)
    }

    /// Makes the entry, and when it is a folder, reads its names for the steps to come.
    fn enter(&mut self, path: TreePath, loaded: Loaded, parent: u64) -> Result<Entry, ReadError> {
        let fail = |fault| malformed(loaded.number, fault);
        let folder = loaded.kind == FileType::Directory;
        let cost = if folder { loaded.size } else { 0 };
        self.budget = cost
            .checked_add(loaded.cost)
            .and_then(|cost| self.budget.checked_sub(cost))
            .ok_or_else(|| fail(Fault::Budget))?;
        if folder {
            if !self.seen.insert(loaded.number) {
                return Err(fail(Fault::TwoParents));
            }
            let children = self.reader.children(&loaded, parent)?;
            self.folders.push(Frame {
                path: path.clone(),
                inode: loaded.number,
                children: children.into_iter(),
            });
        }
        self.reader.entry(path, loaded)
    }
}

impl<R: ReadAt> Iterator for Walk<'_, R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::Done;
        }
        item
    }
}
