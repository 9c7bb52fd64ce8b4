//! Why no release can be laid out after another.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::{arch::Architecture, manifest::ManifestError, name::ReleaseName, verity::TreeError};

use crate::{
    bundle::BundleError, commands::diff::DiffError, erofs, failure::FailureClass, inspect::ImageError,
    progress::Cancelled,
};

/// Why `--previous` can't be followed. `of` is what it says.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PreviousError {
    /// Neither a file nor a reference.
    #[error("find the previous release `{0}`: there is no such file, and no such image in the tree store")]
    #[diagnostic(help(
        "name a bundle, an image, or an image in the store: `image/NAME/ARCHITECTURE`, with `^` for the build before"
    ))]
    NotFound(String),
    /// A lock file says nothing of a layout.
    #[error("lay out the release after `{0}`: a lock file has no layout")]
    #[diagnostic(help("name the bundle or the image that was built from it"))]
    Lock(String),
    /// What it names can't be read.
    #[error("find the previous release `{of}`")]
    #[diagnostic(help(
        "if it is in the tree store, `outcrop cache` tells how that is; else check its permissions"
    ))]
    Find {
        /// What is named.
        of: String,
        /// Why.
        source: Box<DiffError>,
    },
    /// An image that can't be read.
    #[error("read the previous release `{of}`")]
    #[diagnostic(help("name a bundle or an image that `outcrop build` made, or build without --previous"))]
    Image {
        /// The image.
        of: String,
        /// Why.
        source: Box<ImageError>,
    },
    /// A bundle that can't be read.
    #[error("read the previous release `{of}`")]
    #[diagnostic(help("`outcrop bundle verify` tells more; fetch it again, or build without --previous"))]
    Bundle {
        /// The bundle.
        of: String,
        /// Why.
        source: Box<BundleError>,
    },
    /// It doesn't say which release it is.
    #[error("read which release the previous one, `{of}`, is: its /{path} is missing", path = outcrop_release::manifest::RunningManifest::PATH)]
    #[diagnostic(help(
        "an older Outcrop made it: build this release without --previous, and the next one after this"
    ))]
    NoRelease {
        /// What is named.
        of: String,
    },
    /// What it says about its release can't be read.
    #[error("read which release the previous one, `{of}`, is")]
    #[diagnostic(help("it is damaged, or of a newer Outcrop: name another, or build without --previous"))]
    Release {
        /// What is named.
        of: String,
        /// Why.
        source: ManifestError,
    },
    /// Its root hash is missing, or two that should be the same aren't.
    #[error("read the root hash of the previous release `{of}`: {why}")]
    #[diagnostic(help("it is damaged or only half made: name another, or build without --previous"))]
    RootHash {
        /// What is named.
        of: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Its hash tree is damaged.
    #[error("check the hash tree of the previous release `{of}`")]
    #[diagnostic(help("it is damaged: get it again, or build without --previous"))]
    Tree {
        /// What is named.
        of: String,
        /// Why.
        source: TreeError,
    },
    /// One of its blocks isn't what its tree says.
    #[error(
        "check the previous release `{of}`: block {block} of its root file system doesn't match the hash tree"
    )]
    #[diagnostic(help("it is damaged: get it again, or build without --previous"))]
    Damaged {
        /// What is named.
        of: String,
        /// One such block.
        block: u64,
    },
    /// Its root file system can't be read.
    #[error("read the layout of the previous release `{of}`")]
    #[diagnostic(help("name another previous release, or build without --previous"))]
    Layout {
        /// What is named.
        of: String,
        /// Why.
        source: erofs::PreviousError,
    },
    /// The store doesn't know its layout.
    #[error("read the layout of the previous release `{0}`: the tree store doesn't have it")]
    #[diagnostic(help("an older Outcrop built it: name its bundle or image instead"))]
    NoAddresses(String),
    /// It is a release of something else.
    #[error("lay out {wanted} after `{of}`: that is {found}, another {what}")]
    #[diagnostic(help("name the release before of the same product and board"))]
    Other {
        /// What is named.
        of: String,
        /// What it is.
        found: Box<ReleaseName>,
        /// What is built.
        wanted: Box<ReleaseName>,
        /// In what they differ.
        what: &'static str,
    },
    /// Nothing is built for its architecture.
    #[error("lay out a release after `{of}`: that is for {architecture}, and nothing is built for it")]
    #[diagnostic(help(
        "name the previous release of the architecture that is built, or build for {architecture} too: --arch"
    ))]
    NotBuilt {
        /// What is named.
        of: String,
        /// What it is for.
        architecture: Architecture,
    },
    /// Two for one architecture.
    #[error("lay out the release for {architecture} after `{first}` and `{second}`: it can be only one")]
    #[diagnostic(help("give --previous once for each architecture"))]
    Twice {
        /// What both are for.
        architecture: Architecture,
        /// The first.
        first: String,
        /// The other.
        second: String,
    },
    /// It can't be read.
    #[error("read the previous release `{of}`")]
    #[diagnostic(help("check the file's permissions and its medium"))]
    Io {
        /// What is named.
        of: String,
        /// Why.
        source: io::Error,
    },
    /// There is no room to unpack it.
    #[error("unpack the previous release `{of}` in {}", folder.display())]
    #[diagnostic(help("is there space left? --output names another folder"))]
    Unpack {
        /// What is named.
        of: String,
        /// Where to.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl PreviousError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Find { source, .. } => source.class(),
            Self::Image { source, .. } => source.class(),
            Self::Bundle { source, .. } => source.class(),
            Self::Layout { source, .. } => source.class(),
            Self::Io { source, .. } | Self::Unpack { source, .. } => FailureClass::of_io(source),
            Self::Cancelled(_) => FailureClass::Interrupted,
            Self::NotFound(_)
            | Self::Lock(_)
            | Self::NoRelease { .. }
            | Self::Release { .. }
            | Self::RootHash { .. }
            | Self::Tree { .. }
            | Self::Damaged { .. }
            | Self::NoAddresses(_)
            | Self::Other { .. }
            | Self::NotBuilt { .. }
            | Self::Twice { .. } => FailureClass::Input,
        }
    }
}
