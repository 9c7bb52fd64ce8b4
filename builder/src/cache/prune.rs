//! Frees space in the cache.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use miette::Diagnostic;
use outcrop_release::digest::FileDigest;
use serde::Serialize;

use super::{
    Cache, Part,
    usage::{Found, files_below, files_in},
};
use crate::{
    failure::FailureClass,
    fetch::Shelf,
    store::{self, StoreError},
};

/// Commits of each image that stay beside the newest, for `outcrop diff`.
const IMAGE_HISTORY: u32 = 4;
/// An interrupted download is worth keeping for this long.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// What may go. Using a package (every build does) renews it.
///
/// * packages unused for at least `unused_for` that `keep` doesn't name; with them their trees in the store;
/// * of each image in the store all but the newest five commits;
/// * interrupted downloads older than a day (or than `unused_for`, if that is shorter);
/// * records of builds, and apt's lists, that are older than `unused_for`.
#[derive(Debug, Clone)]
pub struct PruneRule {
    /// How long a thing must not have been used.
    pub unused_for: Duration,
    /// Packages that stay in any case: those of lock files that the user names.
    pub keep: BTreeSet<FileDigest>,
    /// The present.
    pub now: SystemTime,
}

/// What a prune freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pruned {
    /// Packages.
    pub packages: Part,
    /// Interrupted downloads.
    pub partial: Part,
    /// Objects of the tree store.
    pub store: Part,
    /// apt's lists.
    pub apt: Part,
    /// Records of builds.
    pub builds: Part,
}

impl Pruned {
    /// All together.
    #[must_use]
    pub const fn total(&self) -> Part {
        let packages = self.packages.plus(self.partial);
        packages.plus(self.store).plus(self.apt).plus(self.builds)
    }
}

/// Why the cache can't be read or pruned.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum CacheError {
    /// Another command uses the cache.
    #[error("prune the cache {}: another outcrop command is using it", folder.display())]
    #[diagnostic(help("wait until it ends, then try again"))]
    Busy {
        /// The cache.
        folder: PathBuf,
    },
    /// A folder or file can't be read or removed.
    #[error("{doing} the cache {}", folder.display())]
    #[diagnostic(help("the cache must be a folder of yours, with space left: --cache-dir names another"))]
    Io {
        /// What was being done: `measure`, `prune`, `check`, `lock`.
        doing: &'static str,
        /// The cache.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tree store can't be pruned.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

impl CacheError {
    /// What kind of failure this is.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Busy { .. } => FailureClass::Environment,
            Self::Io { source, .. } => FailureClass::of_io(source),
            Self::Store(error) => error.class(),
        }
    }
}

/// Removes what `rule` allows, the store first: when another process has that open, nothing is removed at all.
///
/// # Errors
/// [`CacheError::Busy`] while another command uses the cache; else when something can't be read or removed.
pub fn prune(cache: &Cache, rule: &PruneRule) -> Result<Pruned, CacheError> {
    let fail = |source| CacheError::Io {
        doing: "prune",
        folder: cache.root().to_owned(),
        source,
    };
    if !cache.root().is_dir() {
        return Ok(Pruned::default());
    }
    let Some(_alone) = cache.try_alone().map_err(fail)? else {
        return Err(CacheError::Busy {
            folder: cache.root().to_owned(),
        });
    };
    let shelf = Shelf::of(cache);
    let packages = files_below(shelf.folder(), &shelf.partial_folder()).map_err(fail)?;
    let (old, kept) = rule.divide(packages);
    let store = prune_store(&cache.store(), &kept)?;
    let age = rule.unused_for;
    Ok(Pruned {
        packages: remove(old).map_err(fail)?,
        partial: rule
            .remove_older(&shelf.partial_folder(), age.min(PARTIAL_AGE))
            .map_err(fail)?,
        store,
        apt: rule.remove_folder(&cache.apt()).map_err(fail)?,
        builds: rule.remove_older(&cache.builds(), age).map_err(fail)?,
    })
}

/// The digest in a package's file name; none for a file that isn't the cache's.
fn digest_of(file: &Found) -> Option<FileDigest> {
    file.path.file_name()?.to_str()?.parse().ok()
}

impl PruneRule {
    /// A time in the future counts as now.
    fn is_old(&self, file: &Found, age: Duration) -> bool {
        let passed = self.now.duration_since(file.used).unwrap_or_default();
        passed >= age
    }

    /// Old packages, and the digests of those that stay.
    fn divide(&self, packages: Vec<Found>) -> (Vec<Found>, BTreeSet<FileDigest>) {
        let goes = |file: &Found| {
            let named = digest_of(file).is_some_and(|digest| self.keep.contains(&digest));
            !named && self.is_old(file, self.unused_for)
        };
        let (old, kept): (Vec<_>, Vec<_>) = packages.into_iter().partition(goes);
        let digests = kept.iter().filter_map(digest_of).chain(self.keep.iter().copied());
        (old, digests.collect())
    }

    fn remove_older(&self, folder: &Path, age: Duration) -> io::Result<Part> {
        let files = files_in(folder)?;
        remove(files.into_iter().filter(|file| self.is_old(file, age)).collect())
    }

    /// Removes `folder` as a whole once everything in it is old: parts of apt's lists are of no use.
    fn remove_folder(&self, folder: &Path) -> io::Result<Part> {
        let files = files_in(folder)?;
        if files.is_empty() || !files.iter().all(|file| self.is_old(file, self.unused_for)) {
            return Ok(Part::default());
        }
        fs::remove_dir_all(folder)?;
        Ok(files
            .iter()
            .fold(Part::default(), |sum, file| sum.plus(file.part())))
    }
}

fn prune_store(folder: &Path, kept: &BTreeSet<FileDigest>) -> Result<Part, StoreError> {
    let keep = store::Keep {
        packages: kept.clone(),
        history: IMAGE_HISTORY,
    };
    let pruned = store::prune(folder, &keep)?;
    Ok(Part {
        files: pruned.objects,
        bytes: pruned.bytes,
    })
}

fn remove(files: Vec<Found>) -> io::Result<Part> {
    files.into_iter().try_fold(Part::default(), |sum, file| {
        fs::remove_file(&file.path)?;
        Ok(sum.plus(file.part()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A cache with files of these ages in days.
    fn cache(files: &[(&str, u32)]) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        for (name, days) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - DAY * *days).unwrap();
        }
        let cache = Cache::at(folder.path());
        (folder, cache)
    }

    fn rule(days: u32, keep: &[FileDigest]) -> PruneRule {
        PruneRule {
            unused_for: DAY * days,
            keep: keep.iter().copied().collect(),
            now: SystemTime::now(),
        }
    }

    fn package(digest: &FileDigest) -> String {
        let name = digest.to_string();
        format!("packages/{}/{name}", &name[..2])
    }

    #[test]
    fn old_things_go_and_what_a_lock_names_or_a_build_used_stays() {
        let [old, named, used] = [b"1", b"2", b"3"].map(|bytes| FileDigest::of(bytes));
        let (folder, cache) = cache(&[
            (&package(&old), 31),
            (&package(&named), 31),
            (&package(&used), 29),
            ("packages/partial/a", 2),
            ("packages/partial/b", 0),
            ("builds/old.json", 40),
            ("builds/new.json", 1),
            ("apt/trixie/lists/a", 40),
            ("apt/trixie/lists/b", 1),
        ]);
        let pruned = prune(&cache, &rule(30, &[named])).unwrap();
        let counts = [pruned.packages, pruned.partial, pruned.builds, pruned.apt].map(|part| part.files);
        assert_eq!(counts, [1, 1, 1, 0]);
        for (name, stays) in [
            (&*package(&old), false),
            (&package(&named), true),
            (&package(&used), true),
            ("packages/partial/a", false),
            ("packages/partial/b", true),
            ("builds/new.json", true),
            ("apt/trixie/lists/a", true),
        ] {
            assert_eq!(folder.path().join(name).exists(), stays, "{name}");
        }
        let all = prune(&cache, &rule(0, &[])).unwrap();
        assert_eq!(
            all.packages.files + all.partial.files + all.builds.files + all.apt.files,
            6
        );
        assert!(!folder.path().join("apt").exists());
    }

    #[test]
    fn nothing_goes_while_another_command_uses_the_cache() {
        let old = package(&FileDigest::of(b"1"));
        let (folder, cache) = cache(&[(&old, 100)]);
        let in_use = cache.share(&crate::progress::Silent).unwrap();
        assert!(matches!(
            prune(&cache, &rule(0, &[])),
            Err(CacheError::Busy { .. })
        ));
        assert!(folder.path().join(&old).exists());
        drop(in_use);
        prune(&cache, &rule(0, &[])).unwrap();
        assert!(!folder.path().join(&old).exists());
    }

    #[test]
    fn a_cache_that_does_not_exist_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("none");
        assert_eq!(
            prune(&Cache::at(&root), &rule(0, &[])).unwrap(),
            Pruned::default()
        );
        assert!(!root.exists());
    }
}
