//! Why a command failed: the errors of all parts under one roof.

use std::io;

use miette::Diagnostic;

use crate::{
    boot::{initramfs::InitramfsError, uki::UkiError},
    bundle::BundleError,
    cache::CacheError,
    commands,
    compose::ComposeError,
    disk::error::DiskError,
    erofs::ErofsError,
    failure::FailureClass,
    fetch::{FetchError, MirrorError},
    finish::FinishError,
    fleet::FleetError,
    inspect::ImageError,
    keys::KeysError,
    lock::{LockError, LockFileError},
    pipeline::PipelineError,
    previous::PreviousError,
    progress::Cancelled,
    publish::PublishError,
    recipe::RecipeError,
    secure_boot::SecureBootError,
    signed_image::SignedImageError,
    store::StoreError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    /// The recipe.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recipe(#[from] RecipeError),
    /// The lock file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    LockFile(#[from] LockFileError),
    /// Fetching packages.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    /// The tree store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// Finishing the root file system.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Finish(#[from] FinishError),
    /// The disk image.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Disk(#[from] DiskError),
    /// `outcrop lock`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockError),
    /// `--mirror` or `OUTCROP_MIRROR`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mirror(#[from] MirrorError),
    /// Packages that contradict each other.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Compose(#[from] ComposeError),
    /// The EROFS image.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Erofs(#[from] ErofsError),
    /// The initramfs.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Initramfs(#[from] InitramfsError),
    /// The UKI.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Uki(#[from] UkiError),
    /// A build.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pipeline(#[from] PipelineError),
    /// `outcrop run`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] commands::run::RunFailure),
    /// A medium can't be flashed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Flash(#[from] crate::flash::FlashError),
    /// A device's configuration.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Device(#[from] commands::device::DeviceError),
    /// `outcrop new`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    New(#[from] commands::new::NewError),
    /// `outcrop man`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Man(#[from] commands::man::ManError),
    /// `outcrop diff`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Diff(#[from] commands::diff::DiffError),
    /// The cache.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] CacheError),
    /// A disk image that is read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Image(#[from] ImageError),
    /// Keys and signatures for Secure Boot.
    #[error(transparent)]
    #[diagnostic(transparent)]
    SecureBoot(#[from] SecureBootError),
    /// A bundle.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bundle(#[from] BundleError),
    /// A delta.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Delta(#[from] crate::delta::DeltaError),
    /// A signed image.
    #[error(transparent)]
    #[diagnostic(transparent)]
    SignedImage(#[from] SignedImageError),
    /// A key.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Keys(#[from] KeysError),
    /// The release after which a new one is laid out.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Previous(#[from] PreviousError),
    /// `outcrop publish` and `outcrop channel`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Publish(#[from] PublishError),
    /// `outcrop fleet`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fleet(#[from] FleetError),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// There is no place for the cache.
    #[error("find the cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path")]
    #[diagnostic(help("name one with --cache-dir or OUTCROP_CACHE_DIR"))]
    NoCache,
    /// Ctrl-C couldn't be heard.
    #[error("install the handlers of SIGINT and SIGTERM")]
    #[diagnostic(help("the system refuses what every process may do: is this process confined (seccomp)?"))]
    Signals(#[source] io::Error),
    /// Standard output can't be written.
    #[error("write the result to standard output")]
    #[diagnostic(help(
        "what was asked for is done, but couldn't be told: is the disk full that the output goes to?"
    ))]
    Print(#[source] io::Error),
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Recipe(error) => error.class(),
            Self::LockFile(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Finish(error) => error.class(),
            Self::Disk(error) => error.class(),
            Self::Lock(error) => error.class(),
            Self::Mirror(error) => error.class(),
            Self::Compose(error) => error.class(),
            Self::Erofs(error) => error.class(),
            Self::Initramfs(error) => error.class(),
            Self::Uki(error) => error.class(),
            Self::Pipeline(error) => error.class(),
            Self::Run(error) => error.class(),
            Self::Flash(error) => error.class(),
            Self::Device(error) => error.class(),
            Self::New(error) => error.class(),
            Self::Man(error) => error.class(),
            Self::Diff(error) => error.class(),
            Self::Cache(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::SecureBoot(error) => error.class(),
            Self::Bundle(error) => error.class(),
            Self::Delta(error) => error.class(),
            Self::SignedImage(error) => error.class(),
            Self::Keys(error) => error.class(),
            Self::Previous(error) => error.class(),
            Self::Publish(error) => error.class(),
            Self::Fleet(error) => error.class(),
            Self::Cancelled(_) => FailureClass::Interrupted,
            Self::NoCache => FailureClass::Environment,
            Self::Signals(error) | Self::Print(error) => FailureClass::of_io(error),
        }
    }
}
