//! Many packages' trees into one: names and metadata only, no file is read.
//!
//! | what two packages have at one path | what the image has |
//! |---|---|
//! | folders | one folder; for its metadata see [`folders`] |
//! | the same file or link, metadata included | one of them; both own it |
//! | different files or links, and one package `Replaces` the other | the replacing package's (Debian Policy 7.6) |
//! | the same, and a package diverted the path | the diverting package's; the others' are renamed |
//! | different files or links otherwise | an error that names both |
//! | a folder and a link | the link, if the folder is empty and the link leads to a folder; else an error |
//! | a folder and a file | an error |
//!
//! The order in which packages are given doesn't matter. `/bin`, `/lib` and the like are links into `/usr` (see
//! [`aliases`]), whatever a package ships there.

pub mod aliases;
mod claims;
mod conflicts;
mod diversions;
mod error;
pub mod folders;
mod links;
mod owners;
mod replaces;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use aliases::canonical;
pub use diversions::Diversion;
pub use error::ComposeError;
pub use folders::FolderDispute;
pub use owners::Owners;

use self::{claims::Claims, diversions::Diversions};
use crate::{
    store::PackageTree,
    tree::{Entry, Tree},
};

/// The packages' files as one tree.
#[derive(Debug)]
pub struct Composed {
    /// The tree; contents lie where the packages' did.
    pub tree: Tree,
    /// Which package owns what.
    pub owners: Owners,
    /// Folders whose metadata nobody could decide but the rule of [`folders`].
    pub disputes: Vec<FolderDispute>,
}

/// Composes `packages`. Diversions come from the lock's actions: see [`Diversion::from_actions`].
///
/// # Errors
/// When packages contradict each other in a way that neither `Replaces` nor a diversion decides.
pub fn compose(packages: &[Arc<PackageTree>], diversions: &[Diversion]) -> Result<Composed, ComposeError> {
    let mut packages: Vec<&PackageTree> = packages.iter().map(Arc::as_ref).collect();
    packages.sort_by_key(|package| {
        (
            package.control.package(),
            package.control.architecture(),
            package.digest,
        )
    });
    let diversions = Diversions::new(diversions)?;
    let claims = Claims::collect(&packages, &diversions)?;
    let replaces = replaces::read(&packages)?;

    let mut composed = Composed {
        tree: Tree::new(),
        owners: Owners::new(&packages),
        disputes: Vec::new(),
    };
    let mut numbers = links::Numbers::default();
    for (path, claimants) in claims.iter() {
        let winner = conflicts::decide(&claims, path, claimants, &packages, &replaces)?;
        composed.owners.add(path, &winner.owners);
        composed.disputes.extend(winner.dispute);
        let node = numbers.renumber(winner.package, winner.entry.node.clone());
        let entry = Entry {
            metadata: winner.metadata,
            node,
        };
        let put = composed.tree.insert_all(path.clone(), entry);
        put.map_err(|source| ComposeError::Tree { source })?;
    }
    conflicts::check_links_over_folders(&claims, &composed.tree, &packages)?;
    aliases::add(&mut composed.tree, &claims.used_aliases)?;
    links::dissolve_single(&mut composed.tree);
    Ok(composed)
}
