//! The lock file's text: TOML in a stable order, one table per package, sealed by a digest over itself.
//!
//! ```text
//! # comment
//! format = 1
//! digest = "…"        SHA-256 of every byte after this line
//! recipe = "…"
//! [[suite]] …
//! [[x86_64]] …        packages by name; scripts in [[x86_64.scripts]]
//! # end of lock
//! ```
//! The seal tells a hand-edited or merged lock from a good one, the last line a truncated one. It is no signature: what
//! protects a build are the packages' digests, and the review of the lock's diff.

use std::{fmt::Write as _, fs, io, path::Path, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::{arch::Architecture, digest::FileDigest};
use serde::{Deserialize, Serialize};

use super::{
    format::{Lock, LockedPackage, LockedScript, LockedSuite},
    text_form,
};
use crate::failure::FailureClass;

/// The newest format that this program reads; the one it writes.
const FORMAT: i64 = 1;
const END: &str = "# end of lock\n";
const HEADER: &str = "# Written by `outcrop lock`; not to be edited: change the recipe and lock again.\n";

/// A lock file that can't be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum LockFileError {
    /// There is none.
    #[error("the recipe has no lock file: {path} does not exist")]
    #[diagnostic(help(
        "make it with `outcrop lock {recipe}` and keep it beside the recipe, under version control"
    ))]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// The recipe, as a command-line argument.
        recipe: String,
    },
    /// It can't be read.
    #[error("read the lock file {}", path.display())]
    #[diagnostic(help(
        "it must be a file that you may read: look at its permissions, and at what lies at its place"
    ))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its first lines are not a lock's.
    #[error("{path} is not a lock file")]
    #[diagnostic(help("make it again with `outcrop lock {recipe}`"))]
    NotALock {
        /// The file.
        path: PathBuf,
        /// The recipe, as a command-line argument.
        recipe: String,
    },
    /// A newer Outcrop wrote it.
    #[error("{path} has format {found}; this outcrop reads format {FORMAT}")]
    #[diagnostic(help(
        "use the outcrop that wrote it, or a newer one; or make it again with `outcrop lock {recipe}`"
    ))]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format number.
        found: i64,
        /// The recipe, as a command-line argument.
        recipe: String,
    },
    /// Its end is missing.
    #[error("{path} is truncated: its last line is missing")]
    #[diagnostic(help("take it from version control, or make it again with `outcrop lock {recipe}`"))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The recipe, as a command-line argument.
        recipe: String,
    },
    /// It was edited or merged by hand.
    #[error("{path} was changed after `outcrop lock` wrote it: its content does not match its own digest")]
    #[diagnostic(help(
        "locks are not edited or merged by hand: take the file from version control, or make it again with `outcrop lock {recipe}`"
    ))]
    Edited {
        /// The file.
        path: PathBuf,
        /// The recipe, as a command-line argument.
        recipe: String,
    },
    /// The digest is right and the content makes no sense: a defect of the program that wrote it.
    #[error("{path} makes no sense")]
    #[diagnostic(help("make it again with `outcrop lock {recipe}`"))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The recipe, as a command-line argument.
        recipe: String,
        /// What the TOML parser says.
        source: Box<toml::de::Error>,
    },
    /// The recipe asks for other packages than when the lock was made.
    #[error("{path} was made for another recipe, or for an earlier state of {recipe}")]
    #[diagnostic(help(
        "its base, packages, kernel packages, architectures or accepted scripts differ: run `outcrop lock {recipe}` and commit the result"
    ))]
    OtherRecipe {
        /// The file.
        path: PathBuf,
        /// The recipe, as a command-line argument.
        recipe: String,
    },
}

impl LockFileError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Read { source, .. } => FailureClass::of_io(source),
            _ => FailureClass::Input,
        }
    }
}

/// The lock file of a recipe: beside it, with the extension `lock`.
#[must_use]
pub fn path_for(recipe: &Path) -> PathBuf {
    recipe.with_extension("lock")
}

/// Reads the lock file of `recipe` and checks that it was made for a recipe with `digest`.
///
/// # Errors
/// Any [`LockFileError`].
pub fn read(recipe: &Path, digest: &FileDigest) -> Result<Lock, LockFileError> {
    let lock = read_any(&path_for(recipe), &recipe.display().to_string())?;
    if lock.recipe == *digest {
        return Ok(lock);
    }
    let (path, recipe) = (path_for(recipe), recipe.display().to_string());
    Err(LockFileError::OtherRecipe { path, recipe })
}

/// Reads a lock file without asking which recipe it was made for (`outcrop diff`). `recipe` is what messages say to lock.
///
/// # Errors
/// Any [`LockFileError`] but [`LockFileError::OtherRecipe`].
pub fn read_any(path: &Path, recipe: &str) -> Result<Lock, LockFileError> {
    let (path_buf, recipe) = (path.to_owned(), recipe.to_owned());
    let bytes = fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LockFileError::Missing {
            path: path_buf.clone(),
            recipe: recipe.clone(),
        },
        _ => LockFileError::Read {
            path: path_buf.clone(),
            source,
        },
    })?;
    parse(&bytes).map_err(|error| error.at(path_buf, recipe))
}

/// Why a text is no lock; [`LockFileError`] adds where it came from.
#[derive(Debug, PartialEq, Eq)]
pub enum TextError {
    /// See [`LockFileError::NotALock`].
    NotALock,
    /// See [`LockFileError::TooNew`].
    TooNew(i64),
    /// See [`LockFileError::Truncated`].
    Truncated,
    /// See [`LockFileError::Edited`].
    Edited,
    /// See [`LockFileError::Malformed`].
    Malformed(Box<toml::de::Error>),
}

impl TextError {
    fn at(self, path: PathBuf, recipe: String) -> LockFileError {
        match self {
            Self::NotALock => LockFileError::NotALock { path, recipe },
            Self::TooNew(found) => LockFileError::TooNew { path, found, recipe },
            Self::Truncated => LockFileError::Truncated { path, recipe },
            Self::Edited => LockFileError::Edited { path, recipe },
            Self::Malformed(source) => LockFileError::Malformed { path, recipe, source },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "format")]
    _format: i64,
    #[serde(rename = "digest")]
    _digest: String,
    #[serde(with = "text_form")]
    recipe: FileDigest,
    suite: Vec<LockedSuite>,
    #[serde(default)]
    x86_64: Vec<LockedPackage>,
    #[serde(default)]
    aarch64: Vec<LockedPackage>,
}

/// Reads a lock's text.
///
/// # Errors
/// [`TextError`], by the first thing that is wrong: form, format, end, seal, content.
pub fn parse(bytes: &[u8]) -> Result<Lock, TextError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TextError::NotALock)?;
    let (seal, sealed) = split(text).map_err(|error| match error {
        TextError::NotALock if text.starts_with(HEADER) || HEADER.starts_with(text) => TextError::Truncated,
        error => error,
    })?;
    if !text.ends_with(END) {
        return Err(TextError::Truncated);
    }
    if seal != FileDigest::of(sealed.as_bytes()).to_string() {
        return Err(TextError::Edited);
    }
    let document: Document = toml::from_str(text).map_err(|error| TextError::Malformed(Box::new(error)))?;
    let packages = [
        (Architecture::X86_64, document.x86_64),
        (Architecture::Aarch64, document.aarch64),
    ];
    Ok(Lock {
        recipe: document.recipe,
        suites: document.suite,
        packages: packages
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .collect(),
    })
}

/// The seal and what it covers. Lenient about the header's comments, strict about the two first keys.
fn split(text: &str) -> Result<(&str, &str), TextError> {
    let mut rest = text;
    let format = value_of(&mut rest, "format")?;
    let format = format.parse::<i64>().map_err(|_| TextError::NotALock)?;
    if format > FORMAT {
        return Err(TextError::TooNew(format));
    }
    let seal = value_of(&mut rest, "digest")?;
    Ok((seal.trim_matches('"'), rest))
}

/// The value in the next line that is no comment, which must be `key`'s; `rest` then begins after that line.
fn value_of<'a>(rest: &mut &'a str, key: &str) -> Result<&'a str, TextError> {
    while let Some((line, after)) = rest.split_once('\n') {
        *rest = after;
        if !line.starts_with('#') {
            let (found, value) = line.split_once(" = ").ok_or(TextError::NotALock)?;
            return if found == key {
                Ok(value)
            } else {
                Err(TextError::NotALock)
            };
        }
    }
    Err(TextError::NotALock)
}

/// The lock's text; packages and suites are sorted by name.
///
/// # Errors
/// When a number is too large for TOML (2^63 and above).
pub fn write(lock: &Lock) -> Result<String, toml::ser::Error> {
    let mut body = format!("recipe = {}\n", value(&lock.recipe.to_string())?);
    let mut suites: Vec<_> = lock.suites.iter().collect();
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    for suite in suites {
        write_table(&mut body, "suite", suite)?;
    }
    for (arch, list) in &lock.packages {
        write_packages(&mut body, arch.as_str(), list)?;
    }
    body.push('\n');
    body.push_str(END);
    let seal = FileDigest::of(body.as_bytes());
    Ok(format!("{HEADER}format = {FORMAT}\ndigest = \"{seal}\"\n{body}"))
}

fn write_packages(body: &mut String, arch: &str, list: &[LockedPackage]) -> Result<(), toml::ser::Error> {
    let mut list: Vec<_> = list.iter().collect();
    list.sort_by(|a, b| (&a.name, a.role).cmp(&(&b.name, b.role)));
    for package in list {
        let bare = LockedPackage {
            scripts: Vec::new(),
            ..package.clone()
        };
        write_table(body, arch, &bare)?;
        for script in &package.scripts {
            write_script(body, arch, script)?;
        }
    }
    Ok(())
}

fn write_script(body: &mut String, arch: &str, script: &LockedScript) -> Result<(), toml::ser::Error> {
    let bare = LockedScript {
        actions: Vec::new(),
        ..script.clone()
    };
    write_table(body, &format!("{arch}.scripts"), &bare)?;
    if script.actions.is_empty() {
        return Ok(());
    }
    body.push_str("actions = [\n");
    for action in &script.actions {
        let _ = writeln!(body, "    {},", value(action)?);
    }
    body.push_str("]\n");
    Ok(())
}

fn write_table(body: &mut String, name: &str, fields: &impl Serialize) -> Result<(), toml::ser::Error> {
    let _ = write!(body, "\n[[{name}]]\n{}", toml::to_string(fields)?);
    Ok(())
}

fn value(value: &(impl Serialize + ?Sized)) -> Result<String, toml::ser::Error> {
    let mut text = String::new();
    value.serialize(toml::ser::ValueSerializer::new(&mut text))?;
    Ok(text)
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
