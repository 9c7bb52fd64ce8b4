//! Reads a folder's reports and checks each: many at a time, for checking a signature is what takes the time.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    device_id::DeviceId,
    report::{MAX_REPORT_BYTES, Report, ReportError, verify_report},
};
use rayon::prelude::*;

use super::{Devices, FleetError};
use crate::{error::Error, progress::Phase};

/// How much later than now a report may say that it was made.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// What was found.
#[derive(Debug, Default)]
pub struct Read {
    /// The newest report of each device, by the device's name.
    pub reports: Vec<Report>,
    /// Files that nobody should believe, by name.
    pub rejected: Vec<Rejected>,
}

/// A file that nobody should believe.
#[derive(Debug)]
pub struct Rejected {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub why: Why,
}

/// Why nobody should believe a file.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It isn't what a device signed.
    #[error("{0}")]
    Report(#[source] ReportError),
    /// A device that isn't ours.
    #[error("the device {0} isn't in the list of devices")]
    Unknown(DeviceId),
    /// It was made later than now.
    #[error("it says that it was made at {0}, which is yet to come")]
    Future(Timestamp),
    /// Two reports of one number.
    #[error("the device {device} has two different reports of number {sequence}: its key is in two places")]
    Twins {
        /// Whose.
        device: DeviceId,
        /// Which number.
        sequence: u64,
    },
    /// The history has become shorter.
    #[error(
        "the device {device} had {before} events in its history once, and has {now}: it was cut off, or an old report is played back"
    )]
    Shorter {
        /// Whose.
        device: DeviceId,
        /// How many there were.
        before: u64,
        /// How many there are.
        now: u64,
    },
}

/// Reads all reports in `folder` and the folders in it.
///
/// # Errors
/// When a folder can't be listed, or the user stops.
pub fn read(folder: &Path, devices: &Devices, now: Timestamp, phase: &dyn Phase) -> Result<Read, Error> {
    let mut paths = Vec::new();
    list(folder, &mut paths, 0)?;
    paths.sort();
    phase.set_total(paths.len() as u64);
    if paths.is_empty() {
        return Err(FleetError::Empty(folder.to_owned()).into());
    }
    let checked: Vec<Result<Report, Rejected>> = paths
        .into_par_iter()
        .map(|path| {
            phase.advance(1);
            check(&path, devices, now).map_err(|why| Rejected { path, why })
        })
        .collect();
    phase.checkpoint().map_err(Error::Cancelled)?;
    Ok(newest(checked))
}

/// Folders in folders, as far as anybody nests them.
fn list(folder: &Path, paths: &mut Vec<PathBuf>, depth: usize) -> Result<(), FleetError> {
    let failed = |source| FleetError::Io {
        doing: "list",
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (kind, path) = (entry.file_type().map_err(failed)?, entry.path());
        if kind.is_dir() && depth < 8 {
            list(&path, paths, depth + 1)?;
        } else if kind.is_file() && path.extension().is_some_and(|ending| ending == "report") {
            paths.push(path);
        }
    }
    Ok(())
}

fn check(path: &Path, devices: &Devices, now: Timestamp) -> Result<Report, Why> {
    let mut bytes = Vec::new();
    let most = MAX_REPORT_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(Why::Unreadable)?;
    let report = verify_report(&bytes).map_err(Why::Report)?.into_report();
    if !devices.knows(&report.device()) {
        return Err(Why::Unknown(report.device()));
    }
    if report.at.duration_since(now) > SKEW {
        return Err(Why::Future(report.at));
    }
    Ok(report)
}

/// Of each device the newest; older ones are only that.
fn newest(checked: Vec<Result<Report, Rejected>>) -> Read {
    let mut read = Read::default();
    let mut by_device: HashMap<DeviceId, Report> = HashMap::new();
    for checked in checked {
        let report = match checked {
            Ok(report) => report,
            Err(rejected) => {
                read.rejected.push(rejected);
                continue;
            }
        };
        let device = report.device();
        match by_device.get(&device) {
            None => drop(by_device.insert(device, report)),
            Some(other) => match conflict(other, &report) {
                Some(why) => read.rejected.push(Rejected {
                    path: PathBuf::from(report.file_name()),
                    why,
                }),
                None if report.sequence > other.sequence => drop(by_device.insert(device, report)),
                None => {}
            },
        }
    }
    read.reports = by_device.into_values().collect();
    read.reports.sort_by_key(Report::device);
    read
}

/// What can't be true of both.
fn conflict(one: &Report, other: &Report) -> Option<Why> {
    let device = one.device();
    if one.sequence == other.sequence && one != other {
        return Some(Why::Twins {
            device,
            sequence: one.sequence,
        });
    }
    let (older, newer) = match one.sequence < other.sequence {
        true => (one, other),
        false => (other, one),
    };
    let (before, now) = older.history.zip(newer.history)?;
    (now.number < before.number).then_some(Why::Shorter {
        device,
        before: before.number,
        now: now.number,
    })
}
