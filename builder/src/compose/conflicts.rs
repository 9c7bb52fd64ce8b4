//! Who wins a path.

use super::{
    ComposeError, FolderDispute,
    claims::{Claim, Claims},
    folders,
    replaces::Replaces,
};
use crate::{
    store::PackageTree,
    tree::{Content, Entry, Metadata, Node, Tree, TreePath},
};

/// What a path becomes.
pub(super) struct Winner<'a> {
    /// Whose entry it is.
    pub(super) package: usize,
    pub(super) entry: &'a Entry,
    pub(super) metadata: Metadata,
    /// All who ship the same; for a folder, all who ship it.
    pub(super) owners: Vec<usize>,
    pub(super) dispute: Option<FolderDispute>,
}

/// Decides over `path`. `claimants` is not empty.
pub(super) fn decide<'a>(
    claims: &Claims<'a>,
    path: &TreePath,
    claimants: &[Claim<'a>],
    packages: &[&PackageTree],
    replaces: &Replaces,
) -> Result<Winner<'a>, ComposeError> {
    let (folders, others): (Vec<Claim<'a>>, Vec<Claim<'a>>) = claimants
        .iter()
        .copied()
        .partition(|claim| claim.entry.is_directory());
    match (folders.first(), others.first()) {
        (Some(folder), None) => {
            let (metadata, dispute) = folders::metadata(path, &folders, packages);
            Ok(Winner {
                package: folder.package,
                entry: folder.entry,
                metadata,
                owners: owners(&folders),
                dispute,
            })
        }
        (Some(folder), Some(other)) if claims.first_below(path).is_some() || is_file(other) => {
            Err(kinds(path, claims, folder, other, packages))
        }
        // an empty folder, and links: `check_links_over_folders` sees where they lead
        _ => decide_files(path, &others, packages, replaces),
    }
}

fn is_file(claim: &Claim<'_>) -> bool {
    matches!(claim.entry.node, Node::File(..))
}

fn owners(claims: &[Claim<'_>]) -> Vec<usize> {
    claims.iter().map(|claim| claim.package).collect()
}

fn decide_files<'a>(
    path: &TreePath,
    claims: &[Claim<'a>],
    packages: &[&PackageTree],
    replaces: &Replaces,
) -> Result<Winner<'a>, ComposeError> {
    let yields = |loser: &Claim<'_>, winner: &Claim<'_>| {
        same(loser.entry, winner.entry)
            || replaces.says(winner.package, loser.package) && !replaces.says(loser.package, winner.package)
    };
    let winner = claims
        .iter()
        .find(|winner| claims.iter().all(|claim| yields(claim, winner)));
    if let Some(winner) = winner {
        let equal = claims.iter().filter(|claim| same(claim.entry, winner.entry));
        return Ok(Winner {
            package: winner.package,
            entry: winner.entry,
            metadata: winner.entry.metadata.clone(),
            owners: equal.map(|claim| claim.package).collect(),
            dispute: None,
        });
    }
    let (first, second) = quarrel(claims, yields);
    Err(ComposeError::Conflict {
        path: path.clone(),
        first: name(packages, first),
        second: name(packages, second),
    })
}

/// Two that neither yield to the other.
fn quarrel(claims: &[Claim<'_>], yields: impl Fn(&Claim<'_>, &Claim<'_>) -> bool) -> (usize, usize) {
    let pairs = claims
        .iter()
        .enumerate()
        .flat_map(|(index, first)| claims.iter().skip(index + 1).map(move |second| (first, second)));
    let mut differing = pairs.filter(|(first, second)| !yields(first, second) && !yields(second, first));
    let ends = || claims.first().zip(claims.last()); // a ring of Replaces: any two
    let found = differing.next().or_else(ends);
    found.map_or((0, 0), |(first, second)| (first.package, second.package))
}

/// Whether two entries are the same file or link, metadata included.
fn same(first: &Entry, second: &Entry) -> bool {
    first.metadata == second.metadata
        && match (&first.node, &second.node) {
            (Node::Symlink(first), Node::Symlink(second)) => first == second,
            (Node::File(first, _), Node::File(second, _)) => same_content(first, second),
            _ => false,
        }
}

fn same_content(first: &Content, second: &Content) -> bool {
    match (first, second) {
        (Content::Stored(first), Content::Stored(second)) => first.checksum == second.checksum,
        (Content::Bytes(first), Content::Bytes(second)) => first == second,
        _ => false, // packages' files are all in the store
    }
}

fn kinds(
    path: &TreePath,
    claims: &Claims<'_>,
    folder: &Claim<'_>,
    other: &Claim<'_>,
    packages: &[&PackageTree],
) -> ComposeError {
    // the one who puts something into the folder says more than the first who ships it
    let user = claims
        .first_below(path)
        .and_then(|(_, claims)| claims.iter().find(|claim| claim.package != other.package))
        .unwrap_or(folder);
    let (folder, other_name) = (name(packages, user.package), name(packages, other.package));
    match &other.entry.node {
        Node::Symlink(target) => ComposeError::LinkAndFolder {
            path: path.clone(),
            target: target.clone(),
            link: other_name,
            folder,
        },
        _ => ComposeError::FileAndFolder {
            path: path.clone(),
            file: other_name,
            folder,
        },
    }
}

/// Each link that stands where another package ships an empty folder must lead to a folder.
pub(super) fn check_links_over_folders(
    claims: &Claims<'_>,
    tree: &Tree,
    packages: &[&PackageTree],
) -> Result<(), ComposeError> {
    for (path, claimants) in claims.iter() {
        let folder = claimants.iter().find(|claim| claim.entry.is_directory());
        let link = claimants.iter().find(|claim| !claim.entry.is_directory());
        if let (Some(folder), Some(link)) = (folder, link) {
            let leads_to = crate::finish::edit::resolve(tree, path);
            if !leads_to.is_some_and(|found| tree.get(found.as_str()).is_some_and(Entry::is_directory)) {
                return Err(kinds(path, claims, folder, link, packages));
            }
        }
    }
    Ok(())
}

fn name(packages: &[&PackageTree], index: usize) -> String {
    packages
        .get(index)
        .map(|package| format!("{} {}", package.control.package(), package.control.version()))
        .unwrap_or_default()
}
