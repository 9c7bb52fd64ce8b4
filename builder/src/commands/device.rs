//! `outcrop device`: the configuration that makes a device itself.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::Diagnostic;
use outcrop_release::device_config::{self, ConfigProblems, DeviceConfig, Document, FILE_BYTES, template};

use super::Context;
use crate::{
    error::Error,
    failure::FailureClass,
    output::PendingFile,
    recipe::{Location, Problem, source::SourceFile},
};

/// Why a device's configuration can't be written or used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DeviceError {
    /// Something has the name already.
    #[error("{} exists already", .0.display())]
    #[diagnostic(help("choose another name, or move it away"))]
    Exists(PathBuf),
    /// The file can't be written.
    #[error("write {}", path.display())]
    #[diagnostic(help("name a file in a folder that you may write to"))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file can't be read.
    #[error("read {}", path.display())]
    #[diagnostic(help("`outcrop device new FILE` writes one to start from"))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says something that can't be.
    #[error("the device's configuration {} can't be used", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it.
        #[related]
        problems: Vec<Problem>,
    },
    /// It is good, and doesn't fit onto partition 1.
    #[error(
        "the device's configuration {} has {bytes} bytes, partition 1 has room for {FILE_BYTES}", path.display()
    )]
    #[diagnostic(help("leave comments out"))]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
}

impl DeviceError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Write { source, .. } => FailureClass::of_io(source),
            Self::Exists(_) | Self::Read { .. } | Self::Invalid { .. } | Self::TooLong { .. } => {
                FailureClass::Input
            }
        }
    }
}

/// Writes a commented configuration; never over an existing file.
///
/// # Errors
/// When the file exists or can't be written.
pub fn new(path: &Path, context: &Context) -> Result<(), Error> {
    let write = || {
        let file = PendingFile::create(path)?;
        file.file().write_all(template(false).as_bytes())?;
        file.publish_new()
    };
    write().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => DeviceError::Exists(path.to_owned()),
        _ => DeviceError::Write {
            path: path.to_owned(),
            source,
        },
    })?;
    let path = path.display();
    context.summarize(format_args!(
        "wrote {path}\nnext: edit it, then\n  outcrop device check {path}\n  outcrop flash IMAGE DEVICE --device {path}\n"
    ))
}

/// Checks a configuration.
///
/// # Errors
/// When it can't be read, or used.
pub fn check(path: &Path, context: &Context) -> Result<(), Error> {
    let (_, config) = checked(path)?;
    let path = path.display();
    let sets = if config == DeviceConfig::default() {
        "it sets nothing"
    } else {
        "a device can use it"
    };
    context.summarize(format_args!("{path} is good: {sets}\n"))
}

/// Reads a configuration that a device can use and partition 1 can hold.
///
/// # Errors
/// When there is none.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, DeviceError> {
    checked(path).map(|(bytes, _)| bytes)
}

fn checked(path: &Path) -> Result<(Vec<u8>, DeviceConfig), DeviceError> {
    let mut bytes = Vec::new();
    // One byte more than is any good: a file of any length is told as what it is.
    let most = device_config::MAX_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|source| DeviceError::Read {
            path: path.to_owned(),
            source,
        })?;
    let config = Document::read(&bytes)
        .and_then(Document::strict)
        .map_err(|problems| DeviceError::Invalid {
            path: path.to_owned(),
            problems: shown(path, &bytes, &problems),
        })?;
    if bytes.len() > FILE_BYTES as usize {
        return Err(DeviceError::TooLong {
            path: path.to_owned(),
            bytes: bytes.len(),
        });
    }
    Ok((bytes, config))
}

/// The problems as terminals show them: with their lines of the file.
fn shown(path: &Path, bytes: &[u8], problems: &ConfigProblems) -> Vec<Problem> {
    let file = Arc::new(SourceFile {
        path: path.to_owned(),
        text: Arc::new(String::from_utf8_lossy(bytes).into_owned()),
    });
    let shown = |problem: &device_config::Problem| {
        let place = Location::new(Arc::clone(&file), problem.span.clone());
        Problem::new(format!(
            "{}:{}:{}: {}",
            path.display(),
            problem.line,
            problem.column,
            problem.message
        ))
        .at(place)
    };
    problems.as_slice().iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::testing, *};

    #[test]
    fn a_new_file_is_good_and_isn_t_written_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("till.toml");
        let (context, _) = testing::context();
        new(&path, &context).unwrap();
        check(&path, &context).unwrap();
        fs::write(&path, "mine").unwrap();
        let error = new(&path, &context).unwrap_err();
        assert!(error.to_string().ends_with("till.toml exists already"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn the_documentation_has_every_key_of_the_template() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/device.md");
        let documented = fs::read_to_string(path).unwrap();
        let mut keys = 0;
        for line in template(false).lines() {
            let Some((key, _)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) else {
                continue;
            };
            // Labels have names of the user's own.
            if !key.contains([' ', '"']) && key != "site" {
                assert!(
                    documented.contains(&format!("`{key}`")) || documented.contains(&format!(".{key}`")),
                    "{key}"
                );
                keys += 1;
            }
        }
        assert!(keys > 15, "{keys} keys");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.toml");
        fs::write(&path, "channel = 'a'\nhostname = 'a b'\nlabel = 1\n").unwrap();
        let Error::Device(DeviceError::Invalid { problems, .. }) =
            check(&path, &testing::context().0).unwrap_err()
        else {
            panic!("another error");
        };
        let told: Vec<&str> = problems.iter().map(Problem::message).collect();
        assert!(
            told[0].contains("device.toml:2:12: \"a b\" is no host name"),
            "{told:?}"
        );
        assert!(
            told[1].contains("device.toml:3:1: \"label\" is no key"),
            "{told:?}"
        );
        assert_eq!(problems[0].location().unwrap().line_and_column(), (2, 12));
    }

    #[test]
    fn a_file_that_is_missing_too_long_or_endless_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.toml");
        let failed = |path: &Path| check(path, &testing::context().0).unwrap_err();
        assert!(matches!(failed(&path), Error::Device(DeviceError::Read { .. })));
        fs::write(&path, format!("# {}\n", "x".repeat(16 << 10))).unwrap();
        assert!(failed(&path).to_string().contains("has 16387 bytes"));
        let Error::Device(DeviceError::Invalid { problems, .. }) = failed(Path::new("/dev/zero")) else {
            panic!("another error");
        };
        assert!(problems[0].message().contains("longer than 64 KiB"));
    }
}
