//! The images that `cargo xtask test` built.

use std::{
    env,
    path::{Path, PathBuf},
};

use outcrop_release::arch::Architecture;

use crate::error::Error;

/// Environment variable with the folder of the images.
pub const FOLDER: &str = "OUTCROP_IMAGES";

/// The image of a recipe for an architecture: the newest version in [`FOLDER`].
///
/// # Errors
/// When it isn't there: `cargo xtask test` builds it.
pub fn image(name: &str, architecture: Architecture) -> Result<PathBuf, Error> {
    newest(
        &PathBuf::from(env::var_os(FOLDER).unwrap_or_default()),
        name,
        architecture,
    )
}

/// The newest version of an image in `folder`.
///
/// # Errors
/// When there is none.
pub fn newest(folder: &Path, name: &str, architecture: Architecture) -> Result<PathBuf, Error> {
    let pattern = format!("{name}-VERSION-{architecture}-efi.img");
    let missing = || Error::NoImage(folder.join(&pattern));
    let suffix = format!("-{architecture}-efi.img");
    let entries = folder.read_dir().map_err(|_| missing())?;
    let is_wanted = |file: &String| {
        let version = file
            .strip_suffix(&suffix)
            .and_then(|rest| rest.strip_prefix(name)?.strip_prefix('-'));
        version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(is_wanted)
        .collect();
    names.sort_unstable();
    names.pop().map(|file| folder.join(file)).ok_or_else(missing)
}
