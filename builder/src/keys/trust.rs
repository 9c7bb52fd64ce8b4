//! Trust files.

use std::path::Path;

use outcrop_release::trust::Trust;

use super::{KeysError, read_text};

/// Reads a trust file.
///
/// # Errors
/// When it can't be read, or is none.
pub fn read_trust(path: &Path) -> Result<Trust, KeysError> {
    let text = read_text(path).map_err(|source| KeysError::File {
        doing: "read the trust file",
        path: path.to_owned(),
        source,
    })?;
    Trust::parse(&text).map_err(|source| KeysError::NotTrust {
        path: path.to_owned(),
        source,
    })
}
