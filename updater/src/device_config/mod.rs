//! `device.toml` on the device: read from partition 1, kept on the data partition, rendered into `/etc`, at each boot before PID 1 starts.
//!
//! Nothing here stops a boot: what is wrong is told, and the device starts with the last configuration that was right.

mod etc;
mod partition_file;
mod report;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use outcrop_release::{
    definition::BadDefinition,
    device_config::{
        DeviceConfig, DeviceDefinition, Document, FILE_NAME, Found, Import, decide, render::render,
    },
};

pub use partition_file::{PartitionFile, PartitionFileError};
pub use report::ConfigReport;

use crate::{
    chain,
    durable::{self, DurableError},
};

/// What lies on partition 1.
pub trait Medium {
    /// The file's bytes, at most one more than a file may have.
    ///
    /// # Errors
    /// When the partition, its file system or the file can't be read.
    fn read(&self) -> Result<Found, PartitionFileError>;

    /// Overwrites these bytes of the file with asterisks, in place, and reads them back.
    ///
    /// # Errors
    /// When that can't be done.
    fn blank(&self, ranges: &[std::ops::Range<usize>]) -> Result<(), PartitionFileError>;
}

/// What the release says of `device.toml` can't be read.
#[derive(Debug, thiserror::Error)]
enum DefinitionError {
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("understand {}", path.display())]
    Bad { path: PathBuf, source: BadDefinition },
}

/// Takes over what is new on partition 1, and renders what is in force into `root`'s `/etc`.
///
/// `state` is Outcrop's folder on the data partition; none when `/var` is in memory: nothing is kept then, and nothing blanked.
pub fn apply(medium: &dyn Medium, root: &Path, state: Option<&Path>) -> ConfigReport {
    let mut report = ConfigReport::default();
    // A release that can't say so is taken for one that says the safer thing.
    let import = definition(root)
        .map_err(|error| report.complain(&error))
        .map_or(Import::Once, |definition| definition.import);
    let kept = state.map(kept_text).unwrap_or(Ok(None));
    let is_kept_known = kept.is_ok() && state.is_some();
    let kept = kept.unwrap_or_else(|error| {
        report.complain(&error);
        None
    });
    let found = match import {
        // Whether one was kept can't be told: what lies on the card doesn't count.
        Import::Once if !is_kept_known => Found::Missing,
        Import::Once | Import::Always => medium.read().unwrap_or_else(|error| {
            report.complain(&error);
            Found::Missing
        }),
    };
    let decision = decide(&found, kept.as_deref(), import);
    if let Some(problems) = &decision.problems {
        let of = |problem: &dyn std::fmt::Display| format!("{FILE_NAME}: {problem}");
        report
            .problems
            .extend(problems.as_slice().iter().map(|problem| of(problem)));
    }
    let unknown = decision.unknown.iter();
    report
        .problems
        .extend(unknown.map(|problem| format!("{FILE_NAME} as it was kept: {problem}")));
    let is_kept = match (state, &decision.keep) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(state), Some(text)) => keep(state, text).map_err(|error| report.complain(&error)).is_ok(),
    };
    if is_kept
        && !decision.blank.is_empty()
        && let Err(error) = medium.blank(&decision.blank)
    {
        report.complain(&error);
    }
    let rendered = render(&decision.config, &etc::release_facts(root, &decision.config));
    report.problems.extend(rendered.complaints.iter().cloned());
    for error in etc::write(root, &rendered) {
        report.complain(&error);
    }
    report.rendered = rendered;
    report.is_new = decision.keep.is_some();
    report.tell(&decision.config);
    report
}

/// The configuration that was kept in Outcrop's folder `state`; the default when none was.
///
/// # Errors
/// When it can't be read.
pub fn kept(state: &Path) -> Result<DeviceConfig, DurableError> {
    let document = kept_text(state)?.and_then(|text| Document::read_text(&text).ok());
    Ok(document.map(|document| document.config).unwrap_or_default())
}

fn kept_text(state: &Path) -> Result<Option<String>, DurableError> {
    let bytes = durable::read(&state.join(FILE_NAME))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Keeps a text, and reads it back: its secrets may be about to vanish from partition 1.
fn keep(state: &Path, text: &str) -> Result<(), DurableError> {
    let path = state.join(FILE_NAME);
    durable::replace_private(&path, text.as_bytes())?;
    let is_there = durable::read(&path)?.is_some_and(|bytes| bytes == text.as_bytes());
    is_there.then_some(()).ok_or_else(|| DurableError {
        doing: "read back",
        path,
        source: io::ErrorKind::InvalidData.into(),
    })
}

/// Releases of older builders say nothing.
fn definition(root: &Path) -> Result<DeviceDefinition, DefinitionError> {
    let path = root.join(DeviceDefinition::PATH);
    match fs::read(&path) {
        Ok(bytes) => DeviceDefinition::parse(&bytes).map_err(|source| DefinitionError::Bad { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(DeviceDefinition::default()),
        Err(source) => Err(DefinitionError::Read { path, source }),
    }
}

impl ConfigReport {
    fn complain(&mut self, error: &dyn std::error::Error) {
        self.problems.push(chain::describe(error));
    }
}

#[cfg(test)]
mod tests;
