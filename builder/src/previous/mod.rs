//! `--previous`: the release after which a new one is laid out.
//!
//! It is a bundle, a disk image, or an image in the tree store. Finding it reads only what it says to be, and its root
//! hash; before its layout is followed, every block is checked against that. Who signed it doesn't matter: nothing of it
//! gets into the new release but places.

mod check;
mod error;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path, sync::Arc};

use outcrop_release::{
    arch::Architecture,
    digest::RootHash,
    manifest::{MAX_MANIFEST_BYTES, RunningManifest},
    name::ReleaseName,
    slot::Slot,
};

pub use self::error::PreviousError;
use crate::{
    bundle::Bundle,
    commands::diff::{DiffError, sources::Source},
    disk::read::{DiskImage, RootFacts},
    erofs::{Previous, Reader},
    inspect::{self, ImageError},
    progress::Progress,
    read_at::{FileSource, Window},
    store::StoredImage,
    tree::Node,
};

/// What a bundle begins with: the name of its first member, in the header of a tar archive.
const BUNDLE_START: &[u8; 14] = b"manifest.json\0";

/// A release that another one can be laid out after.
#[derive(Debug)]
pub struct PreviousRelease {
    text: String,
    name: ReleaseName,
    root_hash: RootHash,
    form: Form,
}

/// What it is kept as.
#[derive(Debug)]
enum Form {
    Bundle(Box<Bundle>),
    Image(Box<DiskImage>, Box<RootFacts>),
    Stored(Box<StoredImage>),
}

/// A release that was checked.
#[derive(Debug)]
pub struct CheckedPrevious<'a> {
    text: &'a str,
    root: CheckedRoot<'a>,
}

#[derive(Debug)]
enum CheckedRoot<'a> {
    Unpacked(Reader<FileSource>),
    Partition(Reader<Window<Arc<FileSource>>>),
    Stored(&'a StoredImage),
}

impl PreviousRelease {
    /// Finds what `text` names: a file first, then an image of the tree store in `store`.
    ///
    /// # Errors
    /// When it names nothing, or nothing with a layout, or what it names doesn't say which release it is.
    pub fn find(text: &str, store: &Path, progress: &dyn Progress) -> Result<Self, PreviousError> {
        let source = Source::find(text, store, progress).map_err(|error| match error {
            DiffError::NotFound(text) => PreviousError::NotFound(text),
            other => PreviousError::Find {
                of: text.to_owned(),
                source: Box::new(other),
            },
        })?;
        match source {
            Source::Lock(_) => Err(PreviousError::Lock(text.to_owned())),
            Source::Stored(image) => Self::of_stored(text, image),
            Source::Image(path) if is_bundle(&path).map_err(failed(text))? => Self::of_bundle(text, &path),
            Source::Image(path) => Self::of_image(text, &path),
        }
    }

    /// The releases that `texts` name, by architecture.
    ///
    /// # Errors
    /// As [`PreviousRelease::find`], and when two are for the same architecture.
    pub fn find_all(
        texts: &[String],
        store: &Path,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<Architecture, Self>, PreviousError> {
        let mut found: BTreeMap<Architecture, Self> = BTreeMap::new();
        for text in texts {
            let release = Self::find(text, store, progress)?;
            let architecture = release.name.architecture;
            if let Some(first) = found.get(&architecture) {
                return Err(PreviousError::Twice {
                    architecture,
                    first: first.text.clone(),
                    second: release.text,
                });
            }
            found.insert(architecture, release);
        }
        Ok(found)
    }

    /// Which release it is.
    #[must_use]
    pub const fn name(&self) -> &ReleaseName {
        &self.name
    }

    /// What its content is told by.
    #[must_use]
    pub const fn root_hash(&self) -> RootHash {
        self.root_hash
    }

    /// Refuses it when it is no earlier release of what is built.
    ///
    /// # Errors
    /// When product, board or architecture are others.
    pub fn check_for(&self, wanted: &ReleaseName) -> Result<(), PreviousError> {
        let found = &self.name;
        let what = if found.image != wanted.image {
            "product"
        } else if found.board != wanted.board {
            "board"
        } else if found.architecture != wanted.architecture {
            "architecture"
        } else {
            return Ok(());
        };
        Err(PreviousError::Other {
            of: self.text.clone(),
            found: Box::new(found.clone()),
            wanted: Box::new(wanted.clone()),
            what,
        })
    }

    /// The error about its being for an architecture that nothing is built for.
    #[must_use]
    pub fn not_built(&self) -> PreviousError {
        PreviousError::NotBuilt {
            of: self.text.clone(),
            architecture: self.name.architecture,
        }
    }

    /// Checks every block of it. A bundle is unpacked for that, into a file without name in `scratch`.
    ///
    /// # Errors
    /// When it is damaged, or can't be read or unpacked.
    pub fn check(
        &self,
        scratch: &Path,
        progress: &dyn Progress,
    ) -> Result<CheckedPrevious<'_>, PreviousError> {
        let root = match &self.form {
            Form::Bundle(bundle) => self.unpack(bundle, scratch, progress)?,
            Form::Image(image, facts) => {
                check::partition(image, facts, self.root_hash, &self.text, progress)?;
                let reader = inspect::root(image, Path::new(&self.text)).map_err(unreadable(&self.text))?;
                CheckedRoot::Partition(reader)
            }
            Form::Stored(image) => CheckedRoot::Stored(image),
        };
        Ok(CheckedPrevious {
            text: &self.text,
            root,
        })
    }

    fn unpack(
        &self,
        bundle: &Bundle,
        scratch: &Path,
        progress: &dyn Progress,
    ) -> Result<CheckedRoot<'static>, PreviousError> {
        let failed = |source| PreviousError::Unpack {
            of: self.text.clone(),
            folder: scratch.to_owned(),
            source,
        };
        let file = tempfile::tempfile_in(scratch).map_err(failed)?;
        bundle
            .extract_root(&file, scratch, progress)
            .map_err(bad_bundle(&self.text))?;
        let source = FileSource::new(file).map_err(failed)?;
        let reader = Reader::open(source).map_err(|error| self.malformed(error.into()))?;
        Ok(CheckedRoot::Unpacked(reader))
    }

    fn malformed(&self, source: crate::erofs::PreviousError) -> PreviousError {
        PreviousError::Layout {
            of: self.text.clone(),
            source,
        }
    }

    fn of_bundle(text: &str, path: &Path) -> Result<Self, PreviousError> {
        let bundle = Bundle::open(path).map_err(bad_bundle(text))?;
        Ok(Self {
            text: text.to_owned(),
            name: bundle.manifest().release.clone(),
            root_hash: bundle.manifest().root.root_hash,
            form: Form::Bundle(Box::new(bundle)),
        })
    }

    fn of_image(text: &str, path: &Path) -> Result<Self, PreviousError> {
        let image = DiskImage::open(path)
            .map_err(ImageError::from)
            .map_err(unreadable(text))?;
        let slot = image
            .slot(Slot::A)
            .map_err(ImageError::from)
            .map_err(unreadable(text))?;
        let bad_hash = |why| PreviousError::RootHash {
            of: text.to_owned(),
            why,
        };
        if !slot.is_complete() {
            return Err(bad_hash(
                "boot payload and hash tree of slot a don't belong together",
            ));
        }
        let facts = slot.root.ok_or_else(|| bad_hash("slot a is empty"))?;
        let running = running_of_image(text, &image, path)?;
        Ok(Self {
            text: text.to_owned(),
            name: running.release,
            root_hash: facts.root_hash,
            form: Form::Image(Box::new(image), Box::new(facts)),
        })
    }

    fn of_stored(text: &str, image: Box<StoredImage>) -> Result<Self, PreviousError> {
        let content = match image.tree.get(RunningManifest::PATH).map(|entry| &entry.node) {
            Some(Node::File(content, _)) => content,
            _ => return Err(PreviousError::NoRelease { of: text.to_owned() }),
        };
        let mut bytes = Vec::new();
        let limit = MAX_MANIFEST_BYTES as u64 + 1; // one more is refused
        let read = content
            .open()
            .and_then(|reader| reader.take(limit).read_to_end(&mut bytes));
        read.map_err(failed(text))?;
        let root_hash = image
            .record
            .root_hash
            .parse()
            .map_err(|_| PreviousError::RootHash {
                of: text.to_owned(),
                why: "the tree store has none for it",
            })?;
        Ok(Self {
            text: text.to_owned(),
            name: running(text, &bytes)?.release,
            root_hash,
            form: Form::Stored(image),
        })
    }
}

impl CheckedPrevious<'_> {
    /// Its layout.
    ///
    /// # Errors
    /// When its root file system is malformed, or the store doesn't know where its files lie.
    pub fn layout(&self) -> Result<Previous<'_>, PreviousError> {
        let layout = match &self.root {
            CheckedRoot::Unpacked(reader) => Previous::read(reader),
            CheckedRoot::Partition(reader) => Previous::read(reader),
            CheckedRoot::Stored(image) => {
                let missing = || PreviousError::NoAddresses(self.text.to_owned());
                Previous::stored(&image.tree, image.addresses.as_deref().ok_or_else(missing)?)
            }
        };
        layout.map_err(|source| PreviousError::Layout {
            of: self.text.to_owned(),
            source,
        })
    }
}

fn is_bundle(path: &Path) -> std::io::Result<bool> {
    let mut start = Vec::new();
    let length = BUNDLE_START.len() as u64;
    File::open(path)?.take(length).read_to_end(&mut start)?;
    let named = path.extension().is_some_and(|extension| extension == "outcrop");
    Ok(named || start == BUNDLE_START)
}

fn running_of_image(text: &str, image: &DiskImage, path: &Path) -> Result<RunningManifest, PreviousError> {
    let root = inspect::root(image, path).map_err(unreadable(text))?;
    let missing = || PreviousError::NoRelease { of: text.to_owned() };
    let at = RunningManifest::PATH.parse().map_err(|_| missing())?;
    let read = root.read_file(&at, MAX_MANIFEST_BYTES as u64);
    let bytes = read.map_err(|source| PreviousError::Layout {
        of: text.to_owned(),
        source: source.into(),
    })?;
    running(text, &bytes.ok_or_else(missing)?)
}

fn running(text: &str, bytes: &[u8]) -> Result<RunningManifest, PreviousError> {
    RunningManifest::parse(bytes).map_err(|source| PreviousError::Release {
        of: text.to_owned(),
        source,
    })
}

fn failed(text: &str) -> impl Fn(std::io::Error) -> PreviousError {
    move |source| PreviousError::Io {
        of: text.to_owned(),
        source,
    }
}

fn unreadable(text: &str) -> impl Fn(ImageError) -> PreviousError {
    move |source| PreviousError::Image {
        of: text.to_owned(),
        source: Box::new(source),
    }
}

fn bad_bundle(text: &str) -> impl Fn(crate::bundle::BundleError) -> PreviousError {
    move |source| PreviousError::Bundle {
        of: text.to_owned(),
        source: Box::new(source),
    }
}
