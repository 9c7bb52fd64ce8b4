//! The files of a root file system, one line each.

use std::collections::{BTreeMap, HashMap};

use outcrop_release::digest::FileDigest;
use serde::Serialize;

use super::{RootReader, error::Fault};
use crate::{
    erofs::{Entry, Node},
    progress::{Progress, Unit},
};

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileLine {
    /// Absolute path.
    pub path: String,
    /// `file`, `directory` or `symlink`.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky, in octal: `4755`.
    pub mode: String,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Length of a file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How many names the file has, when there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<u32>,
    /// Target of a symbolic link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Extended attributes, values in hexadecimal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
    /// SHA-256 of a file, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// Every path but the root, by bytes of the path.
pub(super) fn list(
    root: &RootReader,
    digests: bool,
    progress: &dyn Progress,
) -> Result<Vec<FileLine>, Fault> {
    let phase = progress.phase("read files", Some(root.superblock().inodes), Unit::Items);
    let mut known = HashMap::new(); // by inode: hard links are read once
    let mut lines = Vec::new();
    for entry in root.walk() {
        let entry = entry?;
        phase.checkpoint()?;
        phase.advance(1);
        if entry.path.is_root() {
            continue;
        }
        let mut line = line(&entry)?;
        if digests && line.kind == Kind::File {
            let digest = match known.get(&entry.inode) {
                Some(digest) => *digest,
                None => *known.entry(entry.inode).or_insert(digest(root, &entry)?),
            };
            line.sha256 = Some(digest.to_string());
        }
        lines.push(line);
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines)
}

fn digest(root: &RootReader, entry: &Entry) -> Result<FileDigest, Fault> {
    Ok(FileDigest::of_reader(root.file(entry)?)?)
}

fn line(entry: &Entry) -> Result<FileLine, Fault> {
    let (kind, size, target) = match &entry.node {
        Node::Directory => (Kind::Directory, None, None),
        Node::File { size, .. } => (Kind::File, Some(*size), None),
        Node::Symlink(target) => (Kind::Symlink, None, Some(target.clone())),
        Node::Special(_) => return Err(Fault::Special(entry.path.clone())),
    };
    let metadata = &entry.metadata;
    Ok(FileLine {
        path: entry.path.to_string(),
        kind,
        mode: format!("{:04o}", metadata.mode),
        uid: metadata.uid,
        gid: metadata.gid,
        size,
        links: (kind == Kind::File && entry.links > 1).then_some(entry.links),
        target,
        xattrs: metadata
            .xattrs
            .iter()
            .map(|(name, value)| (name.clone(), hex::encode(value)))
            .collect(),
        sha256: None,
    })
}
