//! The beginning of a bundle, read from its source.

use outcrop_release::bundle::{self, Head};

use super::source::{Source, SourceError, fetch};

/// The beginning of a bundle can't be read.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Its bytes.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// They are no bundle's.
    #[error(transparent)]
    Form(#[from] bundle::HeadError),
}

/// Reads manifest and signatures.
///
/// # Errors
/// When they aren't there or absurdly long.
pub fn read_head(source: &mut impl Source) -> Result<Head, HeadError> {
    Head::read(|range| fetch(source, range))
}
