//! Frees space.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use ostree::{RepoPruneFlags, gio::Cancellable};
use outcrop_release::digest::FileDigest;

use super::{StoreError, commits::Commits, derived, lock::StoreLock, package, repository, unsynced};

/// What a prune leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keep {
    /// Packages to keep.
    pub packages: BTreeSet<FileDigest>,
    /// How many commits of each image to keep beside the newest.
    pub history: u32,
}

/// What a prune freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Packages and derived trees that are gone.
    pub references: usize,
    /// Objects that are gone.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Removes packages that `keep` doesn't name, older image commits, derived trees of which no image is left that uses
/// them, and every object that nothing needs any more. A store that doesn't exist stays so.
///
/// # Errors
/// [`StoreError::Busy`] when another process has the store open; else when it can't be read or written.
pub fn prune(store: &Path, keep: &Keep) -> Result<Pruned, StoreError> {
    let open = |source| StoreError::Open {
        path: store.to_owned(),
        source,
    };
    if !store.try_exists().map_err(open)? {
        return Ok(Pruned::default());
    }
    let Some(_alone) = StoreLock::try_alone(store).map_err(open)? else {
        return Err(StoreError::Busy {
            path: store.to_owned(),
        });
    };
    repository::make_usable(store, &unsynced::boot_id().map_err(open)?)?;
    let commits = Commits::open(store)?;
    let references = drop_references(&commits, keep)?;
    let depth = i32::try_from(keep.history).unwrap_or(i32::MAX);
    let (_, objects, bytes) = commits
        .repo()
        .prune(RepoPruneFlags::REFS_ONLY, depth, Cancellable::NONE)
        .map_err(|source| StoreError::Commit {
            doing: "prune",
            reference: store.display().to_string(),
            source,
        })?;
    Ok(Pruned {
        references,
        objects: u64::try_from(objects).unwrap_or_default(),
        bytes,
    })
}

fn drop_references(commits: &Commits, keep: &Keep) -> Result<usize, StoreError> {
    let packages: HashSet<String> = keep.packages.iter().map(package::reference).collect();
    let used = used_by_images(commits)?;
    let mut dropped = 0;
    for (reference, _) in commits.list(package::PREFIX)? {
        if !packages.contains(&reference) {
            commits.remove(&reference)?;
            dropped += 1;
        }
    }
    for (reference, commit) in commits.list(derived::PREFIX)? {
        if files_of(commits, &commit)?.is_disjoint(&used) {
            commits.remove(&reference)?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

fn used_by_images(commits: &Commits) -> Result<HashSet<String>, StoreError> {
    let mut used = HashSet::new();
    for (_, commit) in commits.list(super::image::PREFIX)? {
        used.extend(files_of(commits, &commit)?);
    }
    Ok(used)
}

/// Checksums of all file objects of a commit.
fn files_of(commits: &Commits, commit: &str) -> Result<HashSet<String>, StoreError> {
    let reachable = commits
        .repo()
        .traverse_commit(commit, 0, Cancellable::NONE)
        .map_err(|source| StoreError::Commit {
            doing: "list the objects of",
            reference: commit.to_owned(),
            source,
        })?;
    Ok(reachable
        .into_iter()
        .filter(|object| object.object_type() == ostree::ObjectType::File)
        .map(|object| object.checksum().to_owned())
        .collect())
}
