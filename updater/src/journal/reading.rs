//! Reading the history: nothing of it is changed. What another program is writing at this moment looks torn, and is left alone.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use outcrop_release::journal::{Last, Verified, parse_line, verify};

use super::{FOLDER, KeepError, failed};
use crate::device_key::DeviceKey;

/// Digits of a file's number.
const DIGITS: usize = 6;

/// The history in Outcrop's folder `state`, checked whole.
///
/// # Errors
/// When it can't be read, or was tampered with.
pub fn verified(state: &Path, key: &DeviceKey) -> Result<Verified, KeepError> {
    let folder = state.join(FOLDER);
    let mut bytes = Vec::new();
    for number in files(&folder).map_err(failed("list", &folder))? {
        let path = path_of(&folder, number);
        let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(failed("read", &path))?;
    }
    verify(&bytes, key.public()).map_err(|source| KeepError::Damaged { folder, source })
}

/// The newest event of the history in Outcrop's folder `state`; none before the first.
///
/// # Errors
/// When it can't be read, or its newest event isn't this device's.
pub fn newest(state: &Path, key: &DeviceKey) -> Result<Option<Last>, KeepError> {
    Ok(End::find(&state.join(FOLDER), key)?.last)
}

/// Where the history ends.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The newest file, if there is one.
    pub(super) newest: Option<u64>,
    pub(super) last: Option<Last>,
    /// Files with something behind their last whole line, and how many of their bytes are whole.
    pub(super) torn: Vec<(u64, u64)>,
}

impl End {
    /// Finds the newest whole line.
    pub(super) fn find(folder: &Path, key: &DeviceKey) -> Result<Self, KeepError> {
        let mut end = Self::default();
        for number in files(folder).map_err(failed("list", folder))?.into_iter().rev() {
            end.newest = end.newest.or(Some(number));
            let path = path_of(folder, number);
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            let line_end = bytes.iter().rposition(|byte| *byte == b'\n');
            let (lines, behind) = bytes.split_at(line_end.map_or(0, |end| end + 1));
            if !behind.is_empty() {
                end.torn.push((number, lines.len() as u64));
            }
            if let Some(last) = lines.split_inclusive(|byte| *byte == b'\n').next_back() {
                end.last = Some(last_of(folder, last, key)?);
                return Ok(end);
            }
            // A file that holds nothing yet: the end is in the one before.
        }
        Ok(end)
    }
}

/// The event of a line, which this device must have signed.
fn last_of(folder: &Path, line: &[u8], key: &DeviceKey) -> Result<Last, KeepError> {
    match parse_line(line, key.public()) {
        Ok(entry) => Ok(entry.last()),
        Err(source) => Err(KeepError::Damaged {
            folder: folder.to_owned(),
            source,
        }),
    }
}

pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:0DIGITS$}.log"))
}

/// Numbers of the files, ascending.
pub(super) fn files(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
