//! Stores and packages for tests.

use std::{fs, path::PathBuf, sync::Arc};

use outcrop_release::digest::FileDigest;
use tempfile::TempDir;

use super::*;
use crate::{
    deb::testing::{SAMPLE_CONTROL, TarBuilder, deb},
    progress::Silent,
    tree::{Entry, Node, Tree},
};

/// A folder with a store and package files.
pub(super) struct Bench {
    pub(super) folder: TempDir,
}

/// A package file on disk.
pub(super) struct Package {
    pub(super) digest: FileDigest,
    pub(super) path: PathBuf,
    size: u64,
}

impl Package {
    pub(super) fn file(&self) -> PackageFile<'_> {
        PackageFile {
            digest: self.digest,
            path: &self.path,
            name: "sample 1.0",
            size: self.size,
        }
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(super) fn store(&self) -> TreeStore {
        TreeStore::open_volatile(&self.path()).unwrap()
    }

    /// Writes a package with this data member.
    pub(super) fn package(&self, name: &str, data: TarBuilder) -> Package {
        let control = SAMPLE_CONTROL.replace("sample", name);
        let files: &[(&str, &[u8])] = &[("control", control.as_bytes()), ("md5sums", b"00  usr/bin/x\n")];
        let bytes = deb(files, &data.finish());
        let path = self.folder.path().join(format!("{name}.deb"));
        fs::write(&path, &bytes).unwrap();
        Package {
            digest: FileDigest::of(&bytes),
            size: bytes.len() as u64,
            path,
        }
    }

    pub(super) fn import(&self, package: &Package) -> Arc<PackageTree> {
        import_one(&self.store(), package)
    }

    /// Checks every object with libostree; returns how many there are.
    pub(super) fn check(&self) -> usize {
        let commits = Commits::open(&self.path()).unwrap();
        let mut objects = std::collections::HashSet::new();
        for prefix in ["deb", "image", "derived"] {
            for (_, commit) in commits.list(prefix).unwrap() {
                let cancellable = ostree::gio::Cancellable::NONE;
                objects.extend(commits.repo().traverse_commit(&commit, 0, cancellable).unwrap());
            }
        }
        for object in &objects {
            commits
                .repo()
                .fsck_object(
                    object.object_type(),
                    object.checksum(),
                    ostree::gio::Cancellable::NONE,
                )
                .unwrap();
        }
        objects.len()
    }
}

pub(super) fn import_one(store: &TreeStore, package: &Package) -> Arc<PackageTree> {
    store.import(&[package.file()], &Silent).unwrap().remove(0)
}

/// One line per entry: path, mode, owner, content.
pub(super) fn listing(tree: &Tree) -> Vec<String> {
    let line = |(path, entry): (&crate::tree::TreePath, &Entry)| {
        let meta = &entry.metadata;
        let what = match &entry.node {
            Node::Directory => "folder".to_owned(),
            Node::Symlink(target) => format!("-> {target}"),
            Node::File(content, group) => {
                let bytes = content.read().unwrap();
                let group = group
                    .map(|group| format!(" link {}", group.0))
                    .unwrap_or_default();
                format!("{:?}{group}", String::from_utf8_lossy(&bytes))
            }
        };
        let xattrs: Vec<_> = meta.xattrs.iter().collect();
        let xattrs = if xattrs.is_empty() {
            String::new()
        } else {
            format!(" {xattrs:?}")
        };
        format!("{path} {:o} {}:{} {what}{xattrs}", meta.mode, meta.uid, meta.gid)
    };
    tree.iter().map(line).collect()
}
