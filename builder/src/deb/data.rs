//! The data member: what the package puts into the file system.

use std::{
    collections::HashMap,
    io::{self, Read},
    str::FromStr as _,
};

use super::{
    DebError, Limits, MemberError,
    compression::Decoder,
    tar::{RawEntry, TarError, TarReader, Type},
};
use crate::tree::{Metadata, PathError, TreePath};

/// Longest target of a symbolic link. Source: Linux `PATH_MAX`, less the NUL.
const MAX_TARGET_BYTES: usize = 4095;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Directory,
    /// A regular file of this length; [`DataEntry`] reads it.
    File {
        /// In bytes.
        size: u64,
    },
    /// A symbolic link with its target as given: UTF-8, not empty, no control character that breaks lines.
    Symlink(String),
    /// Another name of a regular file that came before.
    HardLink(TreePath),
}

/// Why an entry can't go into an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The name isn't UTF-8.
    #[error("the name {0:?} isn't UTF-8")]
    Encoding(String),
    /// The name is no path inside an image.
    #[error("entry {name:?}")]
    Path {
        /// As in the archive.
        name: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A device node or a FIFO.
    #[error("{path} is a {kind}, and an image holds none")]
    Special {
        /// Which entry.
        path: TreePath,
        /// `device node` or `FIFO`.
        kind: &'static str,
    },
    /// The same path twice, or first with something below it and then as something else than a folder.
    #[error("{0} is there twice")]
    Duplicate(TreePath),
    /// Something below a path that the same package makes a link or file.
    #[error("{path} lies below {parent}, which is no folder")]
    BelowNonDirectory {
        /// Which entry.
        path: TreePath,
        /// The link or file above it.
        parent: TreePath,
    },
    /// A hard link to something that no earlier entry made a regular file.
    #[error("{path} is a hard link to {target:?}, which is no earlier file of the package")]
    HardLink {
        /// Which entry.
        path: TreePath,
        /// As in the archive.
        target: String,
    },
    /// An empty or over-long target, or one that isn't UTF-8 or has a NUL or line break.
    #[error("{path} is a symbolic link with the unusable target {target:?}")]
    Target {
        /// Which entry.
        path: TreePath,
        /// As in the archive, as far as it is UTF-8.
        target: String,
    },
    /// An owner or group beyond 32 bits, or the reserved number 2^32 - 1.
    #[error("{path} has the impossible owner {uid}:{gid}")]
    Owner {
        /// Which entry.
        path: TreePath,
        /// Numeric owner.
        uid: u64,
        /// Numeric group.
        gid: u64,
    },
    /// The top folder is there as something else.
    #[error("the archive's top folder is no folder")]
    Root,
}

/// Reads the entries of a data member in their order, and checks each against all before.
#[derive(Debug)]
pub struct DataReader<'a> {
    archive: TarReader<Decoder<'a>>,
    context: Context,
    limits: Limits,
    seen: Seen,
}

/// For errors.
#[derive(Debug)]
struct Context {
    package: String,
    member: String,
}

impl Context {
    fn fail(&self, source: impl Into<MemberError>) -> DebError {
        DebError::Member {
            package: self.package.clone(),
            member: self.member.clone(),
            source: Box::new(source.into()),
        }
    }
}

/// One entry. A file's bytes are read through [`Read`]; a failure there holds a [`DebError`] (see
/// [`DebError::from_io`]).
#[derive(Debug)]
pub struct DataEntry<'r, 'a> {
    path: TreePath,
    node: Node,
    metadata: Metadata,
    archive: &'r mut TarReader<Decoder<'a>>,
    context: &'r Context,
}

impl<'a> DataReader<'a> {
    pub(super) fn new(decoder: Decoder<'a>, package: &str, member: &str, limits: Limits) -> Self {
        Self {
            archive: TarReader::new(decoder),
            context: Context {
                package: package.to_owned(),
                member: member.to_owned(),
            },
            limits,
            seen: Seen::default(),
        }
    }

    /// The next entry; none once the archive was read to its very end. What is left of the entry before is skipped.
    /// Most packages begin with their top folder, [`TreePath::root`].
    ///
    /// # Errors
    /// When the archive is damaged, exceeds the limits, or the entry can't go into an image. The reader is of no use
    /// afterwards.
    pub fn next_entry(&mut self) -> Result<Option<DataEntry<'_, 'a>>, DebError> {
        let raw = match self.archive.next_entry() {
            Ok(Some(raw)) => raw,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.context.fail(error)),
        };
        if self.seen.count >= self.limits.entries {
            return Err(self.context.fail(MemberError::TooMany(self.limits.entries)));
        }
        let fail = |error| self.context.fail(MemberError::Entry(error));
        let (path, node, metadata) = self.seen.check(raw).map_err(fail)?;
        Ok(Some(DataEntry {
            path,
            node,
            metadata,
            archive: &mut self.archive,
            context: &self.context,
        }))
    }
}

impl DataEntry<'_, '_> {
    /// Where it goes.
    #[must_use]
    pub const fn path(&self) -> &TreePath {
        &self.path
    }

    /// What it is.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Owner, permissions, attributes. A hard link repeats those of its file.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Read for DataEntry<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.archive.read_body(buf) {
            Err(TarError::Read(error)) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            result => result.map_err(|error| io::Error::other(self.context.fail(error))),
        }
    }
}

/// What an earlier entry made of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// A folder that is only known because something lies below it.
    ImpliedDirectory,
    Directory,
    File,
    Symlink,
}

/// The paths of all entries so far.
#[derive(Debug, Default)]
struct Seen {
    paths: HashMap<TreePath, Made>,
    count: u32,
}

impl Seen {
    fn check(&mut self, raw: RawEntry) -> Result<(TreePath, Node, Metadata), EntryError> {
        self.count += 1;
        let path = tree_path(&raw.header.name)?;
        let (node, made) = self.node(&path, &raw)?;
        if path.is_root() && made != Made::Directory {
            return Err(EntryError::Root);
        }
        self.imply_parents(&path)?;
        match self.paths.insert(path.clone(), made) {
            None => {}
            Some(Made::ImpliedDirectory) if made == Made::Directory => {}
            Some(_) => return Err(EntryError::Duplicate(path)),
        }
        let metadata = metadata(&path, &node, raw)?;
        Ok((path, node, metadata))
    }

    fn node(&self, path: &TreePath, raw: &RawEntry) -> Result<(Node, Made), EntryError> {
        let special = |kind| EntryError::Special {
            path: path.clone(),
            kind,
        };
        match raw.header.kind {
            Type::Directory => Ok((Node::Directory, Made::Directory)),
            Type::Symlink => Ok((Node::Symlink(target(path, &raw.header.link)?), Made::Symlink)),
            Type::HardLink => Ok((
                Node::HardLink(self.linked_file(path, &raw.header.link)?),
                Made::File,
            )),
            Type::CharacterDevice | Type::BlockDevice => Err(special("device node")),
            Type::Fifo => Err(special("FIFO")),
            // the archive reader gives no other type
            _ => Ok((
                Node::File {
                    size: raw.header.size,
                },
                Made::File,
            )),
        }
    }

    fn linked_file(&self, path: &TreePath, link: &[u8]) -> Result<TreePath, EntryError> {
        let found = tree_path(link).ok();
        found
            .filter(|target| self.paths.get(target) == Some(&Made::File))
            .ok_or_else(|| EntryError::HardLink {
                path: path.clone(),
                target: lossy(link),
            })
    }

    fn imply_parents(&mut self, path: &TreePath) -> Result<(), EntryError> {
        let mut next = path.parent();
        while let Some(parent) = next.filter(|parent| !parent.is_root()) {
            match self.paths.get(&parent) {
                Some(Made::Directory | Made::ImpliedDirectory) => return Ok(()),
                Some(Made::File | Made::Symlink) => {
                    return Err(EntryError::BelowNonDirectory {
                        path: path.clone(),
                        parent,
                    });
                }
                None => {
                    next = parent.parent();
                    self.paths.insert(parent, Made::ImpliedDirectory);
                }
            }
        }
        Ok(())
    }
}

/// The name without the leading `./` and, for a folder, without the trailing slash.
fn tree_path(name: &[u8]) -> Result<TreePath, EntryError> {
    let text = std::str::from_utf8(name).map_err(|_| EntryError::Encoding(lossy(name)))?;
    if matches!(text, "." | "./") {
        return Ok(TreePath::root());
    }
    let inner = text.strip_prefix("./").unwrap_or(text);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let path = TreePath::from_str(inner).map_err(|source| EntryError::Path {
        name: text.to_owned(),
        source,
    })?;
    if path.is_root() {
        let source = PathError::Component(text.to_owned());
        return Err(EntryError::Path {
            name: text.to_owned(),
            source,
        });
    }
    Ok(path)
}

/// A target may be absolute or lead up: it is text until something follows it inside the image.
fn target(path: &TreePath, link: &[u8]) -> Result<String, EntryError> {
    let legal = |text: &&str| {
        !text.is_empty() && text.len() <= MAX_TARGET_BYTES && !text.contains(['\0', '\n', '\r'])
    };
    let text = std::str::from_utf8(link).ok().filter(legal);
    text.map(str::to_owned).ok_or_else(|| EntryError::Target {
        path: path.clone(),
        target: lossy(link),
    })
}

fn metadata(path: &TreePath, node: &Node, raw: RawEntry) -> Result<Metadata, EntryError> {
    let id = |number: u64| u32::try_from(number).ok().filter(|id| *id != u32::MAX);
    let (Some(uid), Some(gid)) = (id(raw.header.uid), id(raw.header.gid)) else {
        return Err(EntryError::Owner {
            path: path.clone(),
            uid: raw.header.uid,
            gid: raw.header.gid,
        });
    };
    Ok(Metadata {
        mode: if matches!(node, Node::Symlink(_)) {
            0o777
        } else {
            raw.header.mode
        },
        uid,
        gid,
        xattrs: raw.xattrs,
    })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
