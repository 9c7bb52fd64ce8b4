//! Finds a previous release, and reads which one it is.

use std::{fs::File, io::Read as _, path::Path};

use outcrop_release::{
    manifest::{MAX_MANIFEST_BYTES, RunningManifest},
    slot::Slot,
};

use super::{Form, PreviousError, PreviousRelease, bad_bundle, failed, unreadable};
use crate::{
    bundle::Bundle,
    commands::diff::{DiffError, sources::Source},
    disk::read::DiskImage,
    inspect::{self, ImageError},
    progress::Progress,
    store::StoredImage,
    tree::Node,
};

/// What a bundle begins with: the name of its first member, in the header of a tar archive.
const BUNDLE_START: &[u8; 14] = b"manifest.json\0";

impl PreviousRelease {
    /// Finds what `text` names: a file first, then an image of the tree store in `store`.
    ///
    /// # Errors
    /// When it names nothing, or nothing with a layout, or what it names doesn't say which release it is.
    pub fn find(text: &str, store: &Path, progress: &dyn Progress) -> Result<Self, PreviousError> {
        let source = Source::find(text, store, progress).map_err(|error| match error {
            DiffError::NotFound(text) => PreviousError::NotFound(text),
            DiffError::Lock(_) => PreviousError::Lock(text.to_owned()),
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
