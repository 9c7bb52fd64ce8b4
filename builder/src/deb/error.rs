//! Why a package can't be read.

use std::io;

use miette::Diagnostic;

use super::{ControlError, EntryError, ar::ArError, tar::TarError};
use crate::failure::FailureClass;

/// A package that can't be read. `package` is the name that [`super::Deb`] was given.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DebError {
    /// The file can't be opened.
    #[error("open package {package}")]
    Open {
        /// Which package.
        package: String,
        /// Why.
        source: io::Error,
    },
    /// The ar container is damaged, or isn't a Debian package's.
    #[error("read the container of package {package}")]
    #[diagnostic(help(
        "the file is no Debian package, or damaged: `outcrop cache --verify` finds damaged files"
    ))]
    Container {
        /// Which package.
        package: String,
        /// What is wrong.
        source: ArError,
    },
    /// The control or data member is damaged or holds what no image can.
    #[error("read {member} of package {package}")]
    Member {
        /// Which package.
        package: String,
        /// `control.tar.xz` or `data.tar.xz`, with the compression that it has.
        member: String,
        /// What is wrong.
        source: Box<MemberError>,
    },
}

/// What is wrong with a member.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The file can't be read, or what is in it doesn't decompress.
    #[error("read or decompress it")]
    Read(#[source] io::Error),
    /// It decompresses to more than the limit.
    #[error("it holds more than {0} bytes")]
    TooLarge(u64),
    /// More entries than the limit.
    #[error("it has more than {0} entries")]
    TooMany(u32),
    /// Not a tar archive that this reader takes.
    #[error(transparent)]
    Tar(TarError),
    /// An entry that no image can hold.
    #[error(transparent)]
    Entry(EntryError),
    /// Control information that deb(5) doesn't allow.
    #[error(transparent)]
    Control(ControlError),
}

impl DebError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Open { source, .. } => FailureClass::of_io(source),
            Self::Container {
                source: ArError::Read(source),
                ..
            } => FailureClass::of_io(source),
            Self::Container { .. } | Self::Member { .. } => FailureClass::Package,
        }
    }

    /// The [`DebError`] inside an error of [`super::DataEntry`]'s `Read`, if that is what it holds.
    ///
    /// # Errors
    /// The same error back, when it came from elsewhere.
    pub fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

impl From<io::Error> for MemberError {
    /// Takes a typed error that travelled through `Read` out again.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::Read(error),
        }
    }
}

impl From<TarError> for MemberError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Read(error) => error.into(),
            error => Self::Tar(error),
        }
    }
}
