//! What a disk image says about its release.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use outcrop_release::{cmdline::ROOT_HASH_OPTION, partition::Partition, slot::Slot};

use super::{
    sources::{Views, sha256},
    view::{FileFacts, FileKind, ReleaseView},
};
use crate::{
    boot::uki::{UkiFacts, UkiReadError},
    disk::{
        fat::{FatError, FatReader},
        gpt::{Entry, Gpt, GptError},
    },
    erofs::{self, FileRange, ReadError, Reader},
    failure::FailureClass,
    finish::DPKG_STATUS,
    read_at::{FileSource, ReadAt, Window},
    tree::TreePath,
};

/// Longest package database that is read.
const MAX_STATUS_BYTES: u64 = 64 << 20;

/// An image that can't be compared.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("read the image {}", path.display())]
#[diagnostic(help("`outcrop diff` reads disk images that `outcrop build` made, uncompressed"))]
pub struct ImageError {
    /// The image.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: Fault,
}

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It can't be read.
    #[error("read the file")]
    Io(#[from] io::Error),
    /// No partition table.
    #[error(transparent)]
    Gpt(#[from] GptError),
    /// A partition is missing.
    #[error("there is no partition {0}")]
    Partition(&'static str),
    /// Partition 1 is damaged.
    #[error("read partition {}", Partition::Esp.label())]
    Fat(#[from] FatError),
    /// There is no boot payload, or it is in pieces.
    #[error("the boot payload isn't there in one piece")]
    Payload,
    /// The boot payload is damaged.
    #[error("read the boot payload")]
    Uki(#[from] UkiReadError),
    /// The root file system is damaged.
    #[error("read the root file system")]
    Root(#[from] ReadError),
    /// A device, pipe or socket: Outcrop makes none.
    #[error("{0} in the root file system is a device, pipe or socket")]
    Special(TreePath),
    /// The package database can't be understood.
    #[error("the package database /{DPKG_STATUS} is missing or malformed")]
    Status,
}

impl ImageError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match &self.source {
            Fault::Io(source) => FailureClass::of_io(source),
            _ => FailureClass::Input,
        }
    }
}

/// The release in slot A of the image: the one that it was built with.
///
/// # Errors
/// When it isn't an image of Outcrop's, or it is damaged.
pub fn views(path: &Path) -> Result<Views, ImageError> {
    read(path).map_err(|source| ImageError {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Views, Fault> {
    let disk = FileSource::new(File::open(path)?)?;
    let table = Gpt::read(&disk)?;
    let payload = boot_payload(&disk, &table)?;
    let root = partition(&table, Partition::Root(Slot::A))?.extent;
    let root = Reader::open(FileRange::new(File::open(path)?, root.start, root.len))?;
    let view = ReleaseView {
        label: label(&payload.os_release),
        packages: packages(&root)?,
        kernel: Some(payload.uname.trim_end_matches(['\n', '\0']).to_owned()),
        command_line: Some(options(&payload.command_line)),
        sizes: BTreeMap::from([
            ("boot".to_owned(), payload.len),
            ("root".to_owned(), root.size_bytes()),
        ]),
        files: Some(files(&root)?),
    };
    Ok(Views::from([(payload.architecture, view)]))
}

fn partition(table: &Gpt, partition: Partition) -> Result<&Entry, Fault> {
    let label = partition.label();
    let found = table.entries.iter().find(|entry| entry.label == label);
    found.ok_or(Fault::Partition(label))
}

fn boot_payload(disk: &FileSource, table: &Gpt) -> Result<UkiFacts, Fault> {
    let extent = partition(table, Partition::Esp)?.extent;
    let fat = FatReader::open(Window::new(disk, extent.start, extent.len)?)?;
    let name = format!("EFI/Linux/{}", Slot::A.uki_file_name());
    let file = fat.find(&name)?.ok_or(Fault::Payload)?;
    let content = fat.contiguous(&file)?.ok_or(Fault::Payload)?;
    Ok(UkiFacts::read(&content as &dyn ReadAt)?)
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

fn packages(root: &Reader<FileRange>) -> Result<BTreeMap<String, String>, Fault> {
    let path: TreePath = DPKG_STATUS.parse().map_err(|_| Fault::Status)?;
    let status = root.read_file(&path, MAX_STATUS_BYTES)?.ok_or(Fault::Status)?;
    let status = String::from_utf8(status).map_err(|_| Fault::Status)?;
    let database: deb822_fast::Deb822 = status.parse().map_err(|_| Fault::Status)?;
    database
        .iter()
        .map(|package| {
            Some((
                package.get("Package")?.to_owned(),
                package.get("Version")?.to_owned(),
            ))
        })
        .collect::<Option<_>>()
        .ok_or(Fault::Status)
}

fn files(root: &Reader<FileRange>) -> Result<BTreeMap<TreePath, FileFacts>, Fault> {
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
                    None => sha256(root.file(&entry)?)?.to_string(),
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
