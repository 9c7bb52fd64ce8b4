//! Why a bundle can't be written, read or believed.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::{
    bundle::{ArchiveError, HeadError, IndexError, MemberName},
    delta::{DeltaIndexError, DirectoryError},
    digest::{FileDigest, RootHash},
    manifest::ManifestError,
    plan::survey::SurveyError,
    trust::{SignatureError, Untrusted},
    verity::TreeError,
};

use crate::{
    disk::read::DiskReadError, failure::FailureClass, keys::KeysError, progress::Cancelled,
    secure_boot::Fault,
};

/// Why a bundle can't be written, read or believed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum BundleError {
    /// It can't be read or written.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help("check that the file is there, that you may use it, and that there is space left"))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its archive has another form.
    #[error("read the bundle {}", path.display())]
    #[diagnostic(help("a bundle is a file NAME-VERSION-ARCH-BOARD.outcrop: fetch or build it again"))]
    Archive {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: ArchiveError,
    },
    /// It is cut off, or goes on after its end.
    #[error("the bundle {} has {found} bytes where its headers say {expected}", path.display())]
    #[diagnostic(help("fetch or build it again"))]
    Length {
        /// The bundle.
        path: PathBuf,
        /// What the headers say.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The directory of its deltas.
    #[error("read the deltas of the bundle {}", path.display())]
    #[diagnostic(help("fetch or build it again"))]
    Deltas {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: DirectoryError,
    },
    /// A delta's index.
    #[error("the index of a delta")]
    #[diagnostic(help("make the delta again"))]
    DeltaIndex(#[from] DeltaIndexError),
    /// Bytes between members that must be zero.
    #[error("the bundle {} has bytes after its member {member} that belong to nothing", path.display())]
    #[diagnostic(help("fetch or build it again"))]
    Padding {
        /// The bundle.
        path: PathBuf,
        /// The member before them.
        member: MemberName,
    },
    /// A member that nobody would read into memory.
    #[error("the bundle's {member} has {bytes} bytes: at most {limit} make sense")]
    #[diagnostic(help("fetch or build it again"))]
    Oversized {
        /// The member.
        member: MemberName,
        /// Its length.
        bytes: u64,
        /// The most.
        limit: u64,
    },
    /// The manifest can't be read.
    #[error("the bundle's manifest")]
    #[diagnostic(help("the bundle may be of a newer Outcrop, or damaged"))]
    Manifest(#[from] ManifestError),
    /// The signatures can't be read.
    #[error("the bundle's signatures")]
    #[diagnostic(help("the bundle may be of a newer Outcrop, or damaged"))]
    Signatures(#[from] SignatureError),
    /// It isn't trusted.
    #[error("the bundle isn't trusted")]
    #[diagnostic(help(
        "if the release is yours, add the missing signatures with `outcrop bundle sign`; else don't install it"
    ))]
    Untrusted(#[from] Untrusted),
    /// A member isn't what the manifest says.
    #[error("the bundle's {member} has the digest {found}, the manifest says {expected}")]
    #[diagnostic(help("fetch or build it again"))]
    Member {
        /// The member.
        member: MemberName,
        /// The manifest's digest.
        expected: FileDigest,
        /// The member's.
        found: FileDigest,
    },
    /// A member is longer or shorter than the manifest says.
    #[error("the bundle's {member} has {found} bytes, the manifest says {expected}")]
    #[diagnostic(help("fetch or build it again"))]
    MemberLength {
        /// The member.
        member: MemberName,
        /// What the manifest says.
        expected: u64,
        /// What the archive says.
        found: u64,
    },
    /// The frame table can't be read.
    #[error("the bundle's index")]
    #[diagnostic(help("fetch or build it again"))]
    Index(#[from] IndexError),
    /// The hash trees aren't what the manifest says.
    #[error("the hash tree of the bundle's {payload}")]
    #[diagnostic(help("fetch or build it again"))]
    Tree {
        /// The payload.
        payload: MemberName,
        /// Why.
        source: TreeError,
    },
    /// The hash trees are too short or too long.
    #[error("the bundle's hash trees have {found} bytes, its payloads ask for {expected}")]
    #[diagnostic(help("fetch or build it again"))]
    TreeLength {
        /// What the payloads ask for.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// A tree's superblock isn't the one that devices write.
    #[error("the hash tree of the bundle's {0} has another salt or UUID than the manifest says")]
    #[diagnostic(help("fetch or build it again"))]
    Superblock(MemberName),
    /// Its beginning.
    #[error("the bundle's beginning")]
    #[diagnostic(help("fetch or build it again"))]
    Head(#[from] HeadError),
    /// It can't be planned.
    #[error("plan the installation of the bundle")]
    #[diagnostic(help("fetch or build it again"))]
    Survey(#[from] SurveyError),
    /// The image that a device runs.
    #[error("read the old image")]
    #[diagnostic(help("`--from` takes a bundle, or an image that `outcrop build` made"))]
    Image(#[from] DiskReadError),
    /// The image that a device runs has nothing in slot A.
    #[error("the old image has no release in slot A")]
    #[diagnostic(help("`--from` takes a bundle, or an image that `outcrop build` made"))]
    EmptyImage,
    /// A frame isn't what the index says, or doesn't give its blocks.
    #[error("frame {frame} of the bundle's {payload} is damaged: {why}")]
    #[diagnostic(help("fetch or build it again"))]
    Frame {
        /// The payload.
        payload: MemberName,
        /// Its number, from 0.
        frame: u32,
        /// What is wrong.
        why: &'static str,
    },
    /// The boot payload isn't signed for Secure Boot, and the manifest says that it is.
    #[error(
        "the bundle's boot payload has no signature; its manifest says that the certificate with SHA-256 {0} signed it"
    )]
    #[diagnostic(help("firmware with Secure Boot wouldn't start it: build the release again"))]
    BootUnsigned(FileDigest),
    /// Its signature doesn't hold.
    #[error("check the signature for Secure Boot of the bundle's boot payload")]
    #[diagnostic(help("firmware with Secure Boot wouldn't start it: build the release again"))]
    BootSignature {
        /// Why.
        source: Fault,
    },
    /// Its signature is somebody else's.
    #[error(
        "the bundle's boot payload is signed by {subject}, whose certificate has the SHA-256 {found}; its manifest says {expected}"
    )]
    #[diagnostic(help(
        "firmware that knows only the certificate that the manifest names wouldn't start it: build the release again with that key"
    ))]
    BootSigner {
        /// The manifest's certificate.
        expected: FileDigest,
        /// The signature's.
        found: FileDigest,
        /// Whose that is.
        subject: String,
    },
    /// A payload that is no whole blocks, or whose tree is another's.
    #[error("the {payload} to be bundled has the root hash {found}, not {expected}")]
    #[diagnostic(help("the image changed while it was being bundled: build again"))]
    Payload {
        /// The payload.
        payload: MemberName,
        /// Its tree's.
        expected: RootHash,
        /// What was read.
        found: RootHash,
    },
    /// The frames can't be compressed.
    #[error("compress the {payload}")]
    #[diagnostic(help("there may not be enough memory"))]
    Compress {
        /// The payload.
        payload: MemberName,
        /// Why.
        source: io::Error,
    },
    /// A key.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Keys(#[from] KeysError),
    /// A key that has signed already.
    #[error("{key} has signed {} already", path.display())]
    #[diagnostic(help("nothing was changed"))]
    AlreadySigned {
        /// The key.
        key: outcrop_release::trust::PublicKey,
        /// The bundle.
        path: PathBuf,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl BundleError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Io { source, .. } | Self::Compress { source, .. } => FailureClass::of_io(source),
            Self::Keys(error) => error.class(),
            Self::Cancelled(_) => FailureClass::Interrupted,
            Self::Archive { .. }
            | Self::Length { .. }
            | Self::Padding { .. }
            | Self::Deltas { .. }
            | Self::DeltaIndex(_)
            | Self::Oversized { .. }
            | Self::Manifest(_)
            | Self::Signatures(_)
            | Self::Untrusted(_)
            | Self::Member { .. }
            | Self::MemberLength { .. }
            | Self::Index(_)
            | Self::Tree { .. }
            | Self::TreeLength { .. }
            | Self::Superblock(_)
            | Self::Head(_)
            | Self::Survey(_)
            | Self::Image(_)
            | Self::EmptyImage
            | Self::Frame { .. }
            | Self::BootUnsigned(_)
            | Self::BootSignature { .. }
            | Self::BootSigner { .. }
            | Self::Payload { .. }
            | Self::AlreadySigned { .. } => FailureClass::Input,
        }
    }
}
