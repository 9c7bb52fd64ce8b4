//! What a disk image says about its release.

use std::{collections::BTreeMap, path::Path};

use outcrop_release::{cmdline::ROOT_HASH_OPTION, digest::FileDigest, slot::Slot};

use super::{
    sources::Views,
    view::{FileFacts, FileKind, ReleaseView},
};
use crate::{
    boot::facts::PayloadFacts,
    disk::read::DiskImage,
    erofs,
    inspect::{Fault, ImageError, RootReader, packages, root},
    tree::TreePath,
};

/// The release in slot A of the image: the one that it was built with.
///
/// # Errors
/// When it isn't an image of Outcrop's, or it is damaged.
pub fn views(path: &Path) -> Result<Views, ImageError> {
    let image = DiskImage::open(path)?;
    let boot = image.slot(Slot::A)?.boot;
    let payload = boot.ok_or_else(|| Fault::NoPayload.of(path))?.payload;
    let root = root(&image, path)?;
    read(&payload, &root).map_err(|fault| fault.of(path))
}

fn read(payload: &PayloadFacts, root: &RootReader) -> Result<Views, Fault> {
    let packages = packages::database(root)?.into_iter();
    let view = ReleaseView {
        label: label(&payload.os_release),
        packages: packages.map(|package| (package.name, package.version)).collect(),
        kernel: Some(payload.uname.trim_end_matches(['\n', '\0']).to_owned()),
        command_line: Some(options(&payload.command_line)),
        sizes: BTreeMap::from([
            ("boot".to_owned(), payload.len),
            ("root".to_owned(), root.size_bytes()),
        ]),
        files: Some(files(root)?),
    };
    Ok(Views::from([(payload.architecture, view)]))
}

/// The options without the root hash: it differs whenever anything does.
pub(super) fn options(command_line: &str) -> Vec<String> {
    let root_hash = format!("{ROOT_HASH_OPTION}=");
    command_line
        .trim_end_matches('\0')
        .split_ascii_whitespace()
        .filter(|option| !option.starts_with(&root_hash))
        .map(str::to_owned)
        .collect()
}

/// `IMAGE_ID` and `IMAGE_VERSION` of os-release(5).
fn label(os_release: &str) -> String {
    let value = |key: &str| {
        let line = os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map_or("?", |value| value.trim_matches('"')).to_owned()
    };
    format!("{} {}", value("IMAGE_ID"), value("IMAGE_VERSION"))
}

fn files(root: &RootReader) -> Result<BTreeMap<TreePath, FileFacts>, Fault> {
    let mut files = BTreeMap::new();
    let mut known = BTreeMap::new(); // inode to digest: hard links are read once
    for entry in root.walk() {
        let entry = entry?;
        let kind = match &entry.node {
            erofs::Node::Directory => FileKind::Directory,
            erofs::Node::Symlink(target) => FileKind::Symlink(target.clone()),
            erofs::Node::Special(_) => return Err(Fault::Special(entry.path)),
            erofs::Node::File { size, .. } => {
                let identity = match known.get(&entry.inode) {
                    Some(digest) => String::clone(digest),
                    None => FileDigest::of_reader(root.file(&entry)?)?.to_string(),
                };
                if entry.links > 1 {
                    known.insert(entry.inode, identity.clone());
                }
                FileKind::File {
                    size: *size,
                    identity,
                }
            }
        };
        let metadata = entry.metadata;
        files.insert(entry.path, FileFacts { kind, metadata });
    }
    Ok(files)
}
