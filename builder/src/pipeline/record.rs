//! What finished builds left, so that unchanged inputs cost nothing.
//!
//! A record is named after the digest of everything that decides over the outputs. It holds each output's SHA-256 and
//! the file's identity (length, modification time, inode) as they were when the build ended. While all of that still
//! stands, the files are the build's, as make and git judge files; a record that can't be read counts as none.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use outcrop_release::{digest::FileDigest, name::ReleaseName};
use serde::{Deserialize, Serialize};

use super::summary::ImageSummary;
use crate::{
    cache::use_time,
    file_lock::{self, Sharing},
    output,
    progress::Progress,
};

/// One finished build of one architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct BuildRecord {
    /// What was built.
    pub(super) summary: ImageSummary,
    /// The files, in the order of their names.
    pub(super) files: Vec<OutputFile>,
}

/// One file of a build, and how to recognise that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutputFile {
    /// Name in the output folder.
    pub(super) name: String,
    /// SHA-256 in hexadecimal.
    pub(super) sha256: String,
    length: u64,
    modified: (i64, i64),
    inode: u64,
}

impl OutputFile {
    /// Notes the file as it is now.
    pub(super) fn note(folder: &Path, name: &str, sha256: String) -> io::Result<Self> {
        let metadata = fs::metadata(folder.join(name))?;
        Ok(Self {
            name: name.to_owned(),
            sha256,
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
        })
    }

    fn still_stands(&self, folder: &Path) -> bool {
        Self::note(folder, &self.name, self.sha256.clone()).is_ok_and(|now| now == *self)
    }
}

/// The record of `key`, if all its files are as the build left them.
pub(super) fn recall(records: &Path, key: &str, output: &Path) -> Option<BuildRecord> {
    let text = fs::read_to_string(path(records, key)).ok()?;
    let record: BuildRecord = serde_json::from_str(&text).ok()?;
    let whole = !record.files.is_empty() && record.files.iter().all(|file| file.still_stands(output));
    whole.then_some(record)
}

/// Tells pruning that the record is still used.
pub(super) fn renew(records: &Path, key: &str) {
    use_time::renew(&path(records, key));
}

/// Keeps `record` for later builds.
pub(super) fn remember(records: &Path, key: &str, record: &BuildRecord) -> io::Result<()> {
    fs::create_dir_all(records)?;
    let text = serde_json::to_string_pretty(record).map_err(io::Error::other)?;
    output::replace_file(&path(records, key), text.as_bytes())
}

/// Waits until no other build writes the files of `release` in `output`, and keeps others from it while the value lives:
/// two builds of one release from different recipes would mix their images, block maps and records.
pub(super) fn own(
    records: &Path,
    output: &Path,
    release: &ReleaseName,
    progress: &dyn Progress,
) -> io::Result<File> {
    fs::create_dir_all(records)?;
    let place = output.join(release.to_string());
    let name = format!("{}.lock", FileDigest::of(place.as_os_str().as_encoded_bytes()));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(records.join(name))?;
    file_lock::wait(&file, Sharing::Alone, "the output folder", progress)?;
    Ok(file)
}

fn path(records: &Path, key: &str) -> PathBuf {
    records.join(format!("{key}.json"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outcrop_release::{arch::Architecture, board::Board};

    use super::*;
    use crate::progress::Silent;

    fn built(folder: &Path) -> BuildRecord {
        fs::write(folder.join("x.img"), b"image").unwrap();
        let file = OutputFile::note(folder, "x.img", "00".to_owned()).unwrap();
        BuildRecord {
            summary: ImageSummary::default(),
            files: vec![file],
        }
    }

    #[test]
    fn a_record_counts_while_its_files_are_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let record = built(folder.path());
        remember(&folder.path().join("records"), "k", &record).unwrap();
        assert_eq!(
            recall(&folder.path().join("records"), "k", folder.path()),
            Some(record)
        );
    }

    #[test]
    fn a_file_that_was_replaced_by_one_of_the_same_length_ends_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path().join("records");
        remember(&records, "k", &built(folder.path())).unwrap();
        output::replace_file(&folder.path().join("x.img"), b"IMAGE").unwrap();
        assert_eq!(recall(&records, "k", folder.path()), None);
    }

    #[test]
    fn one_build_at_a_time_writes_a_release_in_a_folder() {
        let records = tempfile::tempdir().unwrap();
        let release = ReleaseName {
            image: "edge".parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
            architecture: Architecture::X86_64,
            board: Board::Efi,
        };
        let (here, there) = (Path::new("/out"), Path::new("/elsewhere"));
        let first = own(records.path(), here, &release, &Silent).unwrap();
        let _elsewhere = own(records.path(), there, &release, &Silent).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| own(records.path(), here, &release, &Silent).map(drop));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_damaged_record_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("k.json"), b"{\"summary\":").unwrap();
        assert_eq!(recall(folder.path(), "k", folder.path()), None);
    }
}
