//! `outcrop fleet report`: what the reports of many devices say together.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use super::Context;
use crate::{
    error::Error,
    fleet::{Devices, FleetError, Memory, html, read, shown::shown_json, summarize},
    output::replace_file,
    progress::Unit,
};

/// `outcrop fleet report`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the reports.
    pub folder: PathBuf,
    /// The list of devices; `devices.txt` in the folder without.
    pub devices: Option<PathBuf>,
    /// After how long a device counts as silent.
    pub silent: SignedDuration,
    /// Where the newest that is known of each device is kept; without, nothing is.
    pub memory: Option<PathBuf>,
    /// Also a page, there.
    pub html: Option<PathBuf>,
    /// For a program.
    pub json: bool,
}

/// Checks the reports, and tells what they say together.
///
/// # Errors
/// When there is no report, or something can't be read or written. Reports that nobody should believe are told, and no error.
pub fn report(options: &Options, context: &Context) -> Result<(), Error> {
    let list = options
        .devices
        .clone()
        .unwrap_or_else(|| options.folder.join(Devices::FILE_NAME));
    let devices = Devices::read(&list)?;
    let now = Timestamp::now();
    let phase = context.progress.phase("check reports", None, Unit::Items);
    let remembered = options.memory.as_deref().map(Memory::read).transpose()?;
    let read = read(
        &options.folder,
        &devices,
        remembered.unwrap_or_default(),
        now,
        phase.as_ref(),
    )?;
    drop(phase);
    if let Some(path) = &options.memory {
        read.seen.write(path)?;
    }
    let summary = summarize(&read, &devices, now, options.silent);
    if let Some(path) = &options.html {
        replace_file(path, html(&summary).as_bytes()).map_err(|source| FleetError::Io {
            doing: "write",
            path: path.clone(),
            source,
        })?;
    }
    if options.json {
        let json = serde_json::to_string_pretty(&summary).unwrap_or_default();
        return context.print(shown_json(&json) + "\n");
    }
    context.print(summary.to_text())
}
