//! Finished trees: the history of an image.

use std::collections::BTreeMap;

use outcrop_release::{arch::Architecture, digest::FileDigest, name::ImageName};
use serde::{Deserialize, Serialize};

use super::{
    StoreError, TreeStore,
    commits::{Commit, CommitText, Commits},
    folders,
};
use crate::tree::Tree;

/// What an image's commit says beside its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Name of the product.
    #[serde(with = "crate::lock::text_form")]
    pub name: ImageName,
    /// What it runs on.
    #[serde(with = "crate::lock::text_form")]
    pub architecture: Architecture,
    /// Version of the product.
    pub version: String,
    /// SHA-256 of the recipe.
    pub recipe: String,
    /// SHA-256 of the lock.
    pub lock: String,
    /// dm-verity root hash of the file system made of this tree.
    pub root_hash: String,
    /// Release of the kernel in the boot payload: `6.12.107+deb13-amd64`.
    pub kernel: String,
    /// Kernel command line, in order.
    pub command_line: Vec<String>,
    /// Bytes by output: `root`, `boot`, ...
    pub sizes: BTreeMap<String, u64>,
    /// The packages, by name.
    pub packages: Vec<RecordedPackage>,
}

/// A package that went into an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordedPackage {
    /// Debian's package name.
    pub name: String,
    /// Debian's version.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// SHA-256 of the .deb.
    pub sha256: String,
}

/// A commit of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageCommit {
    /// OSTree's checksum of the commit. It covers the parent, so it differs between build machines.
    pub commit: String,
    /// OSTree's checksum of the tree: the same wherever the same tree was built.
    pub tree: String,
    /// Whether a new commit was made; false when the newest one says the same.
    pub new: bool,
}

/// An image as the store gives it back.
#[derive(Debug)]
pub struct StoredImage {
    /// Its commit.
    pub commit: String,
    /// The commit before.
    pub parent: Option<String>,
    /// Seconds since 1970: the image's time.
    pub time: u64,
    /// What it is.
    pub record: ImageRecord,
    /// Its root file system.
    pub tree: Tree,
    /// Where its files lie in the image that was made of it: see [`Plan::addresses`](crate::erofs::Plan::addresses). None when an older Outcrop
    /// committed it.
    pub addresses: Option<Vec<u8>>,
}

pub(super) const PREFIX: &str = "image";

fn reference(name: &ImageName, architecture: Architecture) -> String {
    format!("{PREFIX}/{name}/{architecture}")
}

impl TreeStore {
    /// Commits the finished tree on `image/<name>/<architecture>` (the record's), on top of what is there. Files whose objects the
    /// store has are not read. `time` is the image's, in seconds since 1970; `addresses` are those
    /// of the image that was made of the tree. What the newest commit has already makes no new one.
    ///
    /// # Errors
    /// When content can't be read or the store can't be written.
    pub fn commit_image(
        &self,
        tree: &Tree,
        record: &ImageRecord,
        addresses: &[u8],
        time: u64,
    ) -> Result<ImageCommit, StoreError> {
        let reference = reference(&record.name, record.architecture);
        let text = CommitText {
            subject: format!("{} {}", record.name, record.version),
            time,
            hard_links: folders::hard_links(tree),
            record: Some(to_json(record, &reference)?),
            addresses: Some(addresses.to_owned()),
        };
        self.begin_writing()?;
        let commits = self.commits()?;
        let root = folders::write_tree(&self.objects, &mut self.objects.writer(), tree)?;
        let parent = commits.resolve(&reference)?;
        if let Some(commit) = unchanged(&commits, parent.as_deref(), root, &text)? {
            return Ok(commit);
        }
        let commit = commits.commit(&reference, root, parent.as_deref(), &text)?;
        Ok(ImageCommit {
            commit,
            tree: root.contents.to_string(),
            new: true,
        })
    }

    /// The newest image of this name; none when there is none.
    ///
    /// # Errors
    /// When the store can't be read or is damaged.
    pub fn image(
        &self,
        name: &ImageName,
        architecture: Architecture,
    ) -> Result<Option<StoredImage>, StoreError> {
        self.image_at(&reference(name, architecture))
    }

    /// The image that `reference` names: `image/edge/x86_64`, a commit's checksum, either with `^` for the one before.
    ///
    /// # Errors
    /// When the reference can't be looked up, names no image, or the store is damaged.
    pub fn image_at(&self, reference: &str) -> Result<Option<StoredImage>, StoreError> {
        let commits = self.commits()?;
        let Some(checksum) = commits.resolve(reference)? else {
            return Ok(None);
        };
        let Commit { text, root, parent } = commits.load(&checksum)?;
        let mut tree = folders::read_tree(&self.objects, root)?;
        folders::link(&mut tree, &text.hard_links, reference)?;
        let record =
            serde_json::from_str(&text.record.unwrap_or_default()).map_err(|error| StoreError::Damaged {
                object: reference.to_owned(),
                reason: format!("its record can't be read: {error}"),
            })?;
        Ok(Some(StoredImage {
            commit: checksum,
            parent,
            time: text.time,
            record,
            tree,
            addresses: text.addresses,
        }))
    }

    /// The names of all images: `image/<name>/<architecture>`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn images(&self) -> Result<Vec<String>, StoreError> {
        let found = self.commits()?.list(PREFIX)?;
        Ok(found.into_iter().map(|(reference, _)| reference).collect())
    }

    /// The packages that are in the store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn packages(&self) -> Result<Vec<FileDigest>, StoreError> {
        let found = self.commits()?.list(super::package::PREFIX)?;
        let digest = |reference: &str| reference.rsplit('/').next()?.parse().ok();
        Ok(found
            .iter()
            .filter_map(|(reference, _)| digest(reference))
            .collect())
    }
}

fn unchanged(
    commits: &Commits,
    parent: Option<&str>,
    root: super::variant::Folder,
    text: &CommitText,
) -> Result<Option<ImageCommit>, StoreError> {
    let Some(parent) = parent else {
        return Ok(None);
    };
    let old = commits.load(parent)?;
    let same = old.root == root && old.text == *text;
    Ok(same.then(|| ImageCommit {
        commit: parent.to_owned(),
        tree: root.contents.to_string(),
        new: false,
    }))
}

fn to_json(record: &ImageRecord, reference: &str) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::Damaged {
        object: reference.to_owned(),
        reason: error.to_string(),
    })
}
