//! `--previous`: the release after which a new one is laid out.
//!
//! It is a bundle, a disk image, or an image in the tree store. Finding it reads only what it says to be, and its root
//! hash; before its layout is followed, every block is checked against that. Who signed it doesn't matter: nothing of it
//! gets into the new release but places.

mod check;
mod error;
mod find;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use outcrop_release::{arch::Architecture, bundle::MemberName, digest::RootHash, name::ReleaseName};

pub use self::error::PreviousError;
use crate::{
    bundle::Bundle,
    disk::read::{DiskImage, RootFacts},
    erofs::{Previous, Reader},
    inspect::{self, ImageError},
    progress::Progress,
    read_at::{FileSource, Window},
    store::StoredImage,
};

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

    fn check_for(&self, wanted: &ReleaseName) -> Result<(), PreviousError> {
        let found = &self.name;
        let what = if found.image != wanted.image {
            "product"
        } else if found.board != wanted.board {
            "board"
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
                if reader.size_bytes() != facts.superblock.geometry.data_bytes() {
                    return Err(PreviousError::RootHash {
                        of: self.text.clone(),
                        why: "its tree doesn't cover the root file system",
                    });
                }
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
            .extract(MemberName::Root, &file, scratch, progress)
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

/// The releases that `texts` name, by architecture.
///
/// # Errors
/// As [`PreviousRelease::find`], and when two are for the same architecture.
pub fn find_all(
    texts: &[String],
    store: &Path,
    progress: &dyn Progress,
) -> Result<BTreeMap<Architecture, PreviousRelease>, PreviousError> {
    let mut found: BTreeMap<Architecture, PreviousRelease> = BTreeMap::new();
    for text in texts {
        let release = PreviousRelease::find(text, store, progress)?;
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

/// Refuses releases that are no earlier ones of those that are built: of another product or board, or for an
/// architecture that nothing is built for.
///
/// # Errors
/// The first such release.
pub fn check_for(
    found: &BTreeMap<Architecture, PreviousRelease>,
    wanted: &[&ReleaseName],
) -> Result<(), PreviousError> {
    for (architecture, previous) in found {
        let same = wanted
            .iter()
            .find(|release| release.architecture == *architecture);
        // Another product is told as such, whatever it is for.
        if let Some(release) = same.or(wanted.first()) {
            previous.check_for(release)?;
        }
        if same.is_none() {
            return Err(PreviousError::NotBuilt {
                of: previous.text.clone(),
                architecture: *architecture,
            });
        }
    }
    Ok(())
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
