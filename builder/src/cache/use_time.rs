//! When a thing in the cache was last used: the time of its file, which pruning looks at.

use std::{
    fs::{self, File, Metadata},
    path::Path,
    time::{Duration, SystemTime},
};

/// A use within this time of the last recorded one is not recorded.
const GRAIN: Duration = Duration::from_secs(3600);

/// Records a use of the file, if it is there.
pub(crate) fn renew(path: &Path) {
    if let Ok(found) = fs::metadata(path) {
        renew_found(path, &found);
    }
}

/// Like [`renew`], for who has the file's metadata already.
///
/// Failure means a cache that can't be written: then nothing is pruned from it either.
pub(crate) fn renew_found(path: &Path, found: &Metadata) {
    let now = SystemTime::now();
    let recorded = found
        .modified()
        .is_ok_and(|last| now.duration_since(last).map_or(true, |passed| passed < GRAIN));
    if !recorded {
        let _unrecorded = File::open(path).and_then(|file| file.set_modified(now));
    }
}
