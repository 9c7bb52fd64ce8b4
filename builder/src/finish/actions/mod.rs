//! The actions step: what reviewed maintainer scripts would have done, carried out on the tree.
//!
//! Order: paths that scripts make, copy or remove (per package, by package name), then alternatives, then owners and
//! modes, then file capabilities. Accounts are made earlier, diversions when the packages are composed, enablement
//! later.

mod alternatives;
mod capabilities;
mod ownership;
mod paths;

pub(super) use capabilities::ATTRIBUTE as CAPABILITY_ATTRIBUTE;

use super::{accounts::Accounts, error::FinishError, inputs::InstalledPackage};
use crate::{action::Action, tree::Tree};

/// Carries out the actions of all packages.
///
/// # Errors
/// When an action names a path, user or group that doesn't exist, or has a malformed mode or capability.
pub(super) fn run(
    tree: &mut Tree,
    packages: &[InstalledPackage],
    accounts: &Accounts,
) -> Result<(), FinishError> {
    each(packages, |package, action| {
        paths::apply(tree, accounts, package, action)
    })?;
    alternatives::apply(tree, packages)?;
    each(packages, |package, action| {
        ownership::apply(tree, accounts, package, action)
    })?;
    each(packages, |package, action| {
        capabilities::apply(tree, package, action)
    })
}

fn each(
    packages: &[InstalledPackage],
    mut apply: impl FnMut(&str, &Action) -> Result<(), FinishError>,
) -> Result<(), FinishError> {
    for package in packages {
        for action in &package.actions {
            apply(&package.name, action)?;
        }
    }
    Ok(())
}
