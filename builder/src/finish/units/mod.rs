//! The units step: what starts at boot, what can't.
//!
//! Who decides, the strongest first: the recipe's `[services]`; preset files (Outcrop's own in `images/base`, then
//! Debian's); packages whose maintainer script enables a unit. A unit that nobody mentions stays off. What can't be
//! started at all is in `images/base` and in the recipe's `mask`.

mod enable;
mod preset;
mod unit;

use std::collections::{BTreeMap, BTreeSet};

use enable::Refusal;
use preset::{Policy, Presets};
use unit::{Found, Install, Scope};

use super::{
    edit,
    error::{FinishError, UnitError},
    inputs::Inputs,
    suggest,
};
use crate::{
    action::Action,
    tree::{Node, Tree, TreePath},
};

/// What an image starts when nothing else is said.
const DEFAULT_TARGET: &str = "multi-user.target";

/// What the step has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Enabled {
    /// Links, `WANTING/UNIT`.
    pub(super) links: BTreeSet<String>,
    /// Masked units.
    pub(super) masked: Vec<String>,
}

/// Enables and masks.
///
/// # Errors
/// When the recipe names a unit that doesn't exist or can't be enabled.
pub(super) fn run(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<Enabled, FinishError> {
    let mut enabled = Enabled::default();
    mask(tree, inputs)?;
    let mut wanted = by_packages(inputs, Scope::User);
    apply_presets(tree, Scope::User, &mut wanted)?;
    enable_all(tree, Scope::User, &wanted, &mut BTreeSet::new())?;
    let mut wanted = by_packages(inputs, Scope::System);
    apply_presets(tree, Scope::System, &mut wanted)?;
    apply_recipe(tree, inputs, &mut wanted)?;
    enable_all(tree, Scope::System, &wanted, &mut enabled.links)?;
    enable_recipe(tree, inputs, &mut enabled.links)?;
    let default = format!("{}/default.target", Scope::System.config());
    if !tree.contains(&default) && tree.contains(&format!("{}/{DEFAULT_TARGET}", Scope::System.vendor())) {
        edit::link(
            tree,
            &default,
            &format!("/{}/{DEFAULT_TARGET}", Scope::System.vendor()),
        )?;
    }
    enabled.masked = unit::masked(tree, Scope::System);
    Ok(enabled)
}

fn mask(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<(), FinishError> {
    for unit in &inputs.recipe.services.mask {
        if unit::find(tree, Scope::System, unit) == Found::Nothing {
            return Err(unknown(tree, "mask", unit).into());
        }
        enable::mask(tree, Scope::System, unit)?;
    }
    Ok(())
}

/// Units that maintainer scripts enable.
fn by_packages(inputs: &Inputs<'_>, scope: Scope) -> BTreeSet<String> {
    let actions = inputs.packages.iter().flat_map(|package| &package.actions);
    actions
        .filter_map(|action| match (action, scope) {
            (Action::EnableUnit { unit }, Scope::System) | (Action::EnableUserUnit { unit }, Scope::User) => {
                Some(unit.clone())
            }
            _ => None,
        })
        .collect()
}

fn apply_presets(tree: &Tree, scope: Scope, wanted: &mut BTreeSet<String>) -> Result<(), FinishError> {
    let presets = Presets::read(tree, scope)?;
    for unit in unit_files(tree, scope) {
        match presets.policy(&unit) {
            Some(Policy::Disable) => {
                wanted.remove(&unit);
            }
            Some(Policy::Enable(instances)) if instances.is_empty() => {
                wanted.insert(unit);
            }
            Some(Policy::Enable(instances)) => {
                wanted.extend(
                    instances
                        .iter()
                        .map(|instance| unit.replacen("@.", &format!("@{instance}."), 1)),
                );
            }
            Some(Policy::Ignore) | None => {}
        }
    }
    Ok(())
}

/// Names of all unit files, without aliases and masks.
fn unit_files(tree: &Tree, scope: Scope) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in [scope.config(), scope.vendor()] {
        let folder: Option<TreePath> = folder.parse().ok();
        for (path, entry) in folder.iter().flat_map(|folder| tree.children(folder)) {
            if let (Node::File(..), Some(name)) = (&entry.node, path.file_name()) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// Takes the recipe's `disable` out of `wanted`; `enable` is carried out by itself, since its failures count.
fn apply_recipe(tree: &Tree, inputs: &Inputs<'_>, wanted: &mut BTreeSet<String>) -> Result<(), FinishError> {
    for unit in &inputs.recipe.services.disable {
        let own = own_name(tree, unit).ok_or_else(|| unknown(tree, "disable", unit))?;
        wanted.remove(&own);
    }
    Ok(())
}

/// Enables units that packages and presets ask for. One that can't be enabled was not meant to be.
fn enable_all(
    tree: &mut Tree,
    scope: Scope,
    wanted: &BTreeSet<String>,
    links: &mut BTreeSet<String>,
) -> Result<(), FinishError> {
    for unit in wanted {
        let _refused = enable::enable(tree, scope, unit, links)?;
    }
    Ok(())
}

fn enable_recipe(
    tree: &mut Tree,
    inputs: &Inputs<'_>,
    links: &mut BTreeSet<String>,
) -> Result<(), FinishError> {
    for unit in &inputs.recipe.services.enable {
        let own = own_name(tree, unit).ok_or_else(|| unknown(tree, "enable", unit))?;
        let not = |reason| UnitError::NotEnableable {
            unit: unit.clone(),
            reason,
        };
        match enable::enable(tree, Scope::System, &own, links)? {
            Ok(()) => {}
            Err(Refusal::Unknown) => return Err(unknown(tree, "enable", unit).into()),
            Err(Refusal::Masked) => return Err(not("it is masked").into()),
            Err(Refusal::Static) => {
                return Err(
                    not("it has no [Install] section: other units start it when they need it").into(),
                );
            }
            Err(Refusal::Template) => return Err(UnitError::Template(unit.clone()).into()),
        }
    }
    Ok(())
}

/// The name of the file behind `unit`, which may be an alias that exists only once the unit is enabled.
fn own_name(tree: &Tree, unit: &str) -> Option<String> {
    match unit::find(tree, Scope::System, unit) {
        Found::Nothing => aliases(tree).remove(unit),
        Found::Masked => Some(unit.to_owned()),
        Found::File(path) => {
            let name = path.file_name()?;
            let instance = unit::template(unit).as_deref() == Some(name);
            Some(if instance {
                unit.to_owned()
            } else {
                name.to_owned()
            })
        }
    }
}

/// Alias to unit, for all `Alias=` lines.
fn aliases(tree: &Tree) -> BTreeMap<String, String> {
    let mut aliases = BTreeMap::new();
    for name in unit_files(tree, Scope::System) {
        if let Found::File(path) = unit::find(tree, Scope::System, &name) {
            let Install { alias, .. } = unit::install(tree, &path).unwrap_or_default();
            aliases.extend(alias.into_iter().map(|alias| (alias, name.clone())));
        }
    }
    aliases
}

fn unknown(tree: &Tree, list: &'static str, unit: &str) -> UnitError {
    let known = unit_files(tree, Scope::System);
    let nearest = suggest::nearest(unit, known.iter().map(String::as_str));
    UnitError::Unknown {
        list,
        unit: unit.to_owned(),
        nearest,
    }
}

#[cfg(test)]
mod tests;
