//! Where releases to compare come from: lock files, images, references of the tree store.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use outcrop_release::{arch::Architecture, digest::FileDigest};

use super::view::{FileFacts, FileKind, Identity, ReleaseView};
use crate::{
    failure::FailureClass,
    lock::{Lock, LockFileError},
    progress::Progress,
    store::{StoreError, StoredImage, TreeStore},
    tree::{Content, Node, Tree, TreePath},
};

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DiffError {
    /// Neither a file nor a reference.
    #[error("compare `{0}`: there is no such file, and no such image in the tree store")]
    #[diagnostic(help(
        "name an image, a lock file, or an image in the store: `image/NAME/ARCHITECTURE`, with `^` for the build before"
    ))]
    NotFound(String),
    /// A lock file that can't be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockFileError),
    /// The tree store can't be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// An image that can't be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] crate::inspect::ImageError),
    /// Content that can't be read.
    #[error("read {path} of {of}")]
    Content {
        /// Of which release.
        of: String,
        /// Which file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// Releases for different machines.
    #[error("compare {old} with {new}: they have no architecture in common")]
    Architectures {
        /// The one.
        old: String,
        /// The other.
        new: String,
    },
}

impl DiffError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::NotFound(_) | Self::Architectures { .. } => FailureClass::Input,
            Self::Lock(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Content { source, .. } => FailureClass::of_io(source),
        }
    }
}

/// What a word on the command line means.
#[derive(Debug)]
pub enum Source {
    /// A lock file.
    Lock(Box<Lock>),
    /// A disk image.
    Image(PathBuf),
    /// A commit of the tree store.
    Stored(Box<StoredImage>),
}

/// Releases by what they are built for.
pub type Views = BTreeMap<Architecture, ReleaseView>;

impl Source {
    /// Finds out what `text` names: a file first, then an image of the store in `store`.
    ///
    /// # Errors
    /// When it names nothing, or what it names can't be read.
    pub fn find(text: &str, store: &Path, progress: &dyn Progress) -> Result<Self, DiffError> {
        let path = Path::new(text);
        if path.is_file() {
            return if path.extension().is_some_and(|extension| extension == "lock") {
                let recipe = path.with_extension("toml").display().to_string();
                Ok(Self::Lock(Box::new(crate::lock::read_any(path, &recipe)?)))
            } else {
                Ok(Self::Image(path.to_owned()))
            };
        }
        let absent = || DiffError::NotFound(text.to_owned());
        if !store.is_dir() || !is_reference(text) {
            return Err(absent());
        }
        let found = TreeStore::open(store, progress)?.image_at(text)?;
        found
            .map(|image| Self::Stored(Box::new(image)))
            .ok_or_else(absent)
    }

    /// How contents are compared when this is one of the sides.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        match self {
            Self::Stored(_) | Self::Lock(_) => Identity::Object,
            Self::Image(_) => Identity::Content,
        }
    }

    /// The releases that it holds. `text` is the word on the command line.
    ///
    /// # Errors
    /// When something can't be read.
    pub fn views(&self, text: &str, identity: Identity) -> Result<Views, DiffError> {
        match self {
            Self::Lock(lock) => Ok(of_lock(lock, text)),
            Self::Image(path) => Ok(super::image::views(path)?),
            Self::Stored(image) => of_stored(image, text, identity),
        }
    }
}

/// libostree takes these as references or commits; anything else it reports as an error of its own.
fn is_reference(text: &str) -> bool {
    let name = text.trim_end_matches('^');
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let legal_part =
        |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(legal);
    name.split('/').all(legal_part)
}

fn of_lock(lock: &Lock, text: &str) -> Views {
    let view = |packages: &Vec<crate::lock::format::LockedPackage>| {
        let mut view = ReleaseView {
            label: text.to_owned(),
            ..ReleaseView::default()
        };
        let mut download = BTreeMap::new();
        for package in packages {
            view.packages
                .insert(package.name.clone(), package.version.clone());
            download.insert(package.sha256, package.size); // a package may be there for two roles
        }
        view.sizes.insert("download".to_owned(), download.values().sum());
        view
    };
    lock.packages
        .iter()
        .map(|(architecture, packages)| (*architecture, view(packages)))
        .collect()
}

fn of_stored(image: &StoredImage, text: &str, identity: Identity) -> Result<Views, DiffError> {
    let record = &image.record;
    let packages = record
        .packages
        .iter()
        .map(|package| (package.name.clone(), package.version.clone()))
        .collect();
    let view = ReleaseView {
        label: format!("{} {}", record.name, record.version),
        packages,
        kernel: Some(record.kernel.clone()),
        command_line: Some(record.command_line.clone()),
        sizes: record.sizes.clone(),
        files: Some(of_tree(&image.tree, text, identity)?),
    };
    Ok(BTreeMap::from([(record.architecture, view)]))
}

fn of_tree(tree: &Tree, of: &str, identity: Identity) -> Result<BTreeMap<TreePath, FileFacts>, DiffError> {
    let mut files = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let kind = match &entry.node {
            Node::Directory => FileKind::Directory,
            Node::Symlink(target) => FileKind::Symlink(target.clone()),
            Node::File(content, _) => FileKind::File {
                size: content.len(),
                identity: identify(content, identity).map_err(|source| DiffError::Content {
                    of: of.to_owned(),
                    path: path.clone(),
                    source,
                })?,
            },
        };
        let metadata = entry.metadata.clone();
        files.insert(path.clone(), FileFacts { kind, metadata });
    }
    Ok(files)
}

fn identify(content: &Content, identity: Identity) -> io::Result<String> {
    match content {
        Content::Stored(object) if identity == Identity::Object => Ok(object.checksum.clone()),
        _ => FileDigest::of_reader(content.open()?).map(|digest| digest.to_string()),
    }
}
