//! Reads a folder's reports and checks each: many at a time, for checking a signature is what takes the time.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    iter,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    device_id::DeviceId,
    report::{MAX_REPORT_BYTES, Report, ReportError, verify_report},
};
use rayon::prelude::*;

use super::{
    Devices, FleetError, Found, Memory,
    judge::{Judged, judge},
};
use crate::{error::Error, progress::Phase};

/// How much later than now a report may say that it was made.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// What was found.
#[derive(Debug, Default)]
pub struct Read {
    /// The report of each device that counts, by the device's name.
    pub reports: Vec<Found>,
    /// Files that nobody should believe, by name.
    pub rejected: Vec<Rejected>,
    /// The newest that is known of each device now.
    pub seen: Memory,
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
    /// An old report in the place of a newer one.
    #[error(
        "the device {device} has sent a report of number {newest}, and this is number {sequence}: an old report is played back, or its key is in two places"
    )]
    Replayed {
        /// Whose.
        device: DeviceId,
        /// Its number.
        sequence: u64,
        /// The number that was seen.
        newest: u64,
    },
}

/// Reads all reports in `folder` and the folders in it, and holds them against what is `remembered`.
///
/// # Errors
/// When a folder can't be listed, or the user stops.
pub fn read(
    folder: &Path,
    devices: &Devices,
    remembered: Memory,
    now: Timestamp,
    phase: &dyn Phase,
) -> Result<Read, Error> {
    let mut paths = Vec::new();
    list(folder, &mut paths, 0)?;
    paths.sort();
    phase.set_total(paths.len() as u64);
    if paths.is_empty() {
        return Err(FleetError::Empty(folder.to_owned()).into());
    }
    let checked: Vec<Result<Found, Rejected>> = paths
        .into_par_iter()
        .map(|path| {
            phase.advance(1);
            match check(&path, devices, now) {
                Ok(report) => Ok(Found {
                    device: report.device(),
                    path,
                    report,
                }),
                Err(why) => Err(Rejected { path, why }),
            }
        })
        .collect();
    phase.checkpoint().map_err(Error::Cancelled)?;
    Ok(judged(checked, remembered))
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

/// Judges each device's reports for themselves.
fn judged(checked: Vec<Result<Found, Rejected>>, remembered: Memory) -> Read {
    let mut read = Read {
        seen: remembered,
        ..Read::default()
    };
    let mut found: Vec<Found> = checked
        .into_iter()
        .filter_map(|checked| checked.map_err(|rejected| read.rejected.push(rejected)).ok())
        .collect();
    let order = |found: &Found| (found.device, found.report.sequence);
    found.sort_unstable_by(|one, other| order(one).cmp(&order(other)).then(one.path.cmp(&other.path)));
    let mut found = found.into_iter().peekable();
    while let Some(device) = found.peek().map(|found| found.device) {
        let of_device = iter::from_fn(|| found.next_if(|found| found.device == device));
        let Judged {
            counts,
            seen,
            rejected,
        } = judge(of_device, read.seen.of(&device).cloned());
        read.reports.extend(counts);
        let rejected = rejected.into_iter();
        read.rejected
            .extend(rejected.map(|(path, why)| Rejected { path, why }));
        if let Some(seen) = seen {
            read.seen.remember(device, seen);
        }
    }
    read.rejected.sort_by(|one, other| one.path.cmp(&other.path));
    read
}
