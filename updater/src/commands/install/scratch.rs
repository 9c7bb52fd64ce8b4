//! Where an installation keeps the release's hash trees meanwhile.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::statvfs;

use crate::durable::DurableError;

const FILE_NAME: &str = "install-trees";

/// A file without a name, gone when this process is: on the data partition if `needed` bytes fit there, else in memory, so that a full disk
/// keeps no update away. `state` and `run` are Outcrop's folders.
pub(super) fn scratch(state: &Path, run: &Path, needed: u64) -> Result<File, DurableError> {
    let folder = if room(state).is_ok_and(|room| room >= needed) {
        state
    } else {
        run
    };
    let path = folder.join(FILE_NAME);
    make(&path).map_err(|source| failed(path, source))
}

fn failed(path: PathBuf, source: io::Error) -> DurableError {
    DurableError {
        doing: "keep the release's hash trees in",
        path,
        source,
    }
}

/// Bytes that are free for this program.
fn room(folder: &Path) -> io::Result<u64> {
    fs::create_dir_all(folder)?;
    let found = statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn make(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::linux::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_doesn_t_fit_on_the_data_partition_is_kept_in_memory() {
        // Two file systems, as on a device.
        let (state, run) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir_in("/dev/shm").unwrap(),
        );
        let place = |needed| {
            let file = scratch(state.path(), run.path(), needed).unwrap();
            file.metadata().unwrap().st_dev()
        };
        let of = |folder: &tempfile::TempDir| fs::metadata(folder.path()).unwrap().st_dev();
        assert_eq!(place(1), of(&state));
        assert_eq!(place(u64::MAX), of(&run));
        for folder in [&state, &run] {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        }
    }
}
