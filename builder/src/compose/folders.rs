//! Metadata of folders that several packages ship.
//!
//! dpkg keeps what the first unpacked package says, so on a Debian system it depends on history. Here: packages that
//! say nothing special (root's, 0755, no attributes) give way to one that does; among several that differ, base-files
//! decides, then the first by name. Such a dispute is reported.

use super::claims::Claim;
use crate::{
    store::PackageTree,
    tree::{Metadata, TreePath},
};

/// The package whose folders are the system's layout.
const LAYOUT: &str = "base-files";

/// A folder for which packages want different special metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderDispute {
    /// The folder.
    pub path: TreePath,
    /// What it has now.
    pub kept: Metadata,
    /// Who decided.
    pub decided_by: String,
    /// Who wanted something else.
    pub overruled: Vec<String>,
}

/// The metadata of a folder that all of `claims` (not empty) ship.
pub(super) fn metadata(
    path: &TreePath,
    claims: &[Claim<'_>],
    packages: &[&PackageTree],
) -> (Metadata, Option<FolderDispute>) {
    let plain = Metadata::root(0o755);
    let name = |claim: &Claim<'_>| {
        packages
            .get(claim.package)
            .map_or("", |package| package.control.package())
    };
    let special: Vec<&Claim<'_>> = claims
        .iter()
        .filter(|claim| claim.entry.metadata != plain)
        .collect();
    let layout = special.iter().find(|claim| name(claim) == LAYOUT);
    let Some(decider) = layout.or_else(|| special.first()) else {
        return (plain, None);
    };
    let kept = decider.entry.metadata.clone();
    let overruled: Vec<String> = special
        .iter()
        .filter(|claim| claim.entry.metadata != kept)
        .map(|claim| name(claim).to_owned())
        .collect();
    let dispute = (!overruled.is_empty()).then(|| FolderDispute {
        path: path.clone(),
        kept: kept.clone(),
        decided_by: name(decider).to_owned(),
        overruled,
    });
    (kept, dispute)
}
