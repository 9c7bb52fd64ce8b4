//! Why a medium can't be flashed.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::{fat::FatError, manifest::ManifestError, trust::Untrusted};

use crate::{
    disk::{gpt::GptError, image::BlockMapError},
    failure::FailureClass,
    fetch::TransportError,
    progress::Cancelled,
};

/// Why a medium can't be flashed, or isn't what was written.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum FlashError {
    /// The medium.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help(
        "is it still plugged in, and may you write to it (sudo)? It isn't bootable now: flash it again, or take another"
    ))]
    Target {
        /// What was being done.
        doing: &'static str,
        /// The medium.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody uses it.
    #[error("{} is in use: {by}", path.display())]
    #[diagnostic(help(
        "nothing was written. Unmount what is on it, if it is the right one: everything on it would be lost"
    ))]
    InUse {
        /// The medium.
        path: PathBuf,
        /// By whom.
        by: String,
    },
    /// A partition instead of a disk.
    #[error("{} is a partition", path.display())]
    #[diagnostic(help("an image is for a whole disk: {}", disk.display()))]
    Partition {
        /// What was named.
        path: PathBuf,
        /// The disk that it is on.
        disk: PathBuf,
    },
    /// It is write-protected.
    #[error("{} is write-protected", .0.display())]
    #[diagnostic(help(
        "slide the switch of the card or its adapter; worn cards protect themselves for good"
    ))]
    ReadOnly(PathBuf),
    /// Neither a disk nor a plain file.
    #[error("{} is neither a disk nor a plain file", .0.display())]
    #[diagnostic(help("`outcrop flash IMAGE` without a device lists the disks that can be taken out"))]
    NoMedium(PathBuf),
    /// Its sectors have another length than the image's partition table counts in.
    #[error("{} has sectors of {bytes} bytes", path.display())]
    #[diagnostic(help("images are for disks with sectors of 512 bytes; some disks can be switched to them"))]
    Sectors {
        /// The medium.
        path: PathBuf,
        /// Length of its sectors.
        bytes: u64,
    },
    /// It is shorter than the image.
    #[error("{} has {} MB, the image needs {} MB", path.display(), bytes / 1_000_000, needed.div_ceil(1_000_000))]
    #[diagnostic(help("nothing was written: take a larger one, or a recipe with smaller slots"))]
    TooSmall {
        /// The medium.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The image's.
        needed: u64,
    },
    /// No device was named.
    #[error("no device is named: {}", match .0.as_str() { "" => "there is no disk that can be taken out".to_owned(), list => format!("there are\n{list}") })]
    #[diagnostic(help(
        "name one behind the image: `outcrop flash IMAGE /dev/sdX`; everything on it is lost"
    ))]
    NoDevice(String),
    /// Nobody said yes.
    #[error("{} wasn't erased: nobody said yes", .0.display())]
    #[diagnostic(help("say yes, or `--yes` where nobody can be asked"))]
    Declined(PathBuf),
    /// The list of disks.
    #[error("list the disks of this machine")]
    Disks(#[source] io::Error),
    /// The image can't be read.
    #[error("read the image {image}")]
    #[diagnostic(help("check that it is there and whole"))]
    Image {
        /// Its name or address.
        image: String,
        /// Why.
        source: io::Error,
    },
    /// The image can't be fetched.
    #[error("fetch the image {image}")]
    #[diagnostic(help("try again; whatever was written isn't bootable"))]
    Fetch {
        /// Its address.
        image: String,
        /// Why.
        source: TransportError,
    },
    /// The server answers something else.
    #[error("fetch the image {image}: the server answers {status}")]
    #[diagnostic(help("check the address"))]
    Status {
        /// Its address.
        image: String,
        /// The HTTP status.
        status: u16,
    },
    /// It isn't one.
    #[error("{image} is no image of Outcrop")]
    #[diagnostic(help(
        "an image is a file NAME-VERSION-ARCH-BOARD.img that `outcrop build` made, or such a file compressed by zstd"
    ))]
    NoImage {
        /// Its name.
        image: String,
        /// Why.
        source: GptError,
    },
    /// Its partitions aren't an image's.
    #[error("{image} is no image of Outcrop: {why}")]
    #[diagnostic(help(
        "an image is a file NAME-VERSION-ARCH-BOARD.img that `outcrop build` made, or such a file compressed by zstd"
    ))]
    OtherImage {
        /// Its name.
        image: String,
        /// What is wrong.
        why: String,
    },
    /// Its board doesn't have its processor.
    #[error("{image} is for board {board}, which has no {architecture} processor")]
    #[diagnostic(help("build it again"))]
    WrongBoard {
        /// Its name.
        image: String,
        /// The board.
        board: &'static str,
        /// The processor.
        architecture: &'static str,
    },
    /// Nobody said whom to trust.
    #[error("{0} isn't known to be from anybody: no trust file is named")]
    #[diagnostic(help("`--trust trust.toml` checks who signed it; `--unsigned` takes it from anybody"))]
    NoTrust(String),
    /// It has no manifest.
    #[error("{0} isn't signed: there is no manifest beside it")]
    #[diagnostic(help(
        "`outcrop build --key` signs images; copy what it wrote together. `--unsigned` takes it from anybody"
    ))]
    Unsigned(String),
    /// It isn't trusted.
    #[error("{image} isn't trusted")]
    #[diagnostic(help("nothing was written. Don't use an image that somebody else has signed or changed"))]
    Untrusted {
        /// Its name.
        image: String,
        /// Why.
        source: Untrusted,
    },
    /// Its manifest can't be read.
    #[error("read the manifest of {image}")]
    #[diagnostic(help("it may be of a newer Outcrop, or damaged: build or fetch it again"))]
    Manifest {
        /// Its name.
        image: String,
        /// Why.
        source: ManifestError,
    },
    /// Its block map can't be read.
    #[error("read the block map of {image}")]
    #[diagnostic(help(
        "fetch image and block map again, together; without the map all of the image is written"
    ))]
    Map {
        /// Its name.
        image: String,
        /// Why.
        source: BlockMapError,
    },
    /// The block map isn't the one that was signed, or of another image.
    #[error("the block map of {0} is another image's")]
    #[diagnostic(help("copy image, map, manifest and signatures together"))]
    OtherMap(String),
    /// The image has other bytes than were announced.
    #[error("{image} is damaged: {what}")]
    #[diagnostic(help("the medium isn't bootable now. Build or fetch the image again"))]
    Damaged {
        /// Its name.
        image: String,
        /// Where.
        what: String,
    },
    /// What was written isn't what is read back.
    #[error("{} doesn't keep what is written to it: at byte {at} it reads as something else", path.display())]
    #[diagnostic(help("it is worn out, or smaller than it says: throw it away"))]
    Unfaithful {
        /// The medium.
        path: PathBuf,
        /// Where.
        at: u64,
    },
    /// The place for `device.toml`.
    #[error("put the device's configuration onto partition 1")]
    #[diagnostic(help("the image is of an older Outcrop, or partition 1 is damaged"))]
    Configuration(#[source] FatError),
    /// No place for it.
    #[error("partition 1 of the image has no place of {needed} bytes for device.toml")]
    #[diagnostic(help("the image is of an older Outcrop, or the file is too long"))]
    NoPlace {
        /// How many bytes it has.
        needed: usize,
    },
    /// Random numbers.
    #[error("make random names for the disk and its partitions")]
    #[diagnostic(help("the kernel gives no random numbers: try again later"))]
    Random(#[source] io::Error),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl FlashError {
    /// What the user can do about it.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Target { .. } | Self::Unfaithful { .. } | Self::Disks(_) | Self::Random(_) => {
                FailureClass::Environment
            }
            Self::Fetch { .. } | Self::Status { .. } => FailureClass::Network,
            Self::Cancelled(_) => FailureClass::Interrupted,
            _ => FailureClass::Input,
        }
    }
}
