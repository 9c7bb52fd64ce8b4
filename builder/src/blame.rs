//! Late errors about something that the recipe says, shown where the recipe says it: an unknown service is only known to
//! be one when the packages are unpacked.

use miette::Diagnostic;

use crate::{
    disk::error::DiskError,
    error::Error,
    finish::error::{AccountError, FinishError, KernelError, UnitError},
    recipe::{Item, LoadedRecipe, Problem},
    secure_boot::SecureBootError,
};

/// An error that may be about one thing of the recipe.
pub trait Blames: Diagnostic {
    /// What of the recipe it is about.
    fn item(&self) -> Option<Item>;
}

/// The error as a problem of the recipe, when it is about something that the recipe says; else as it is.
#[must_use]
pub fn in_recipe<E: Blames + Into<Error>>(loaded: &LoadedRecipe, error: E) -> Error {
    let Some(item) = error.item().filter(|item| loaded.locate(item).is_some()) else {
        return error.into();
    };
    let problem: Problem = loaded.problem(&item, error.to_string());
    let problem = match error.help() {
        Some(help) => problem.help(help.to_string()),
        None => problem,
    };
    loaded.invalid(vec![problem]).into()
}

impl Blames for FinishError {
    fn item(&self) -> Option<Item> {
        match self {
            Self::Unit(
                UnitError::Unknown { unit, .. }
                | UnitError::NotEnableable { unit, .. }
                | UnitError::Template(unit),
            ) => Some(Item::Service(unit.clone())),
            Self::Accounts(AccountError::UnknownGroup { group, .. }) => Some(Item::Group(group.clone())),
            Self::Accounts(AccountError::NoShell { name, .. } | AccountError::Exists { name, .. }) => {
                Some(Item::User(name.clone()))
            }
            Self::Kernel(KernelError::NoModule { name, .. }) => Some(Item::KernelModule(name.clone())),
            _ => None,
        }
    }
}

impl Blames for SecureBootError {
    fn item(&self) -> Option<Item> {
        match self {
            Self::NoKey | Self::Mismatch { .. } => Some(Item::SecureBoot),
            _ => None,
        }
    }
}

impl Blames for DiskError {
    fn item(&self) -> Option<Item> {
        match self {
            Self::Size { key, .. } | Self::Headroom { key, .. } => match *key {
                "root-slot" => Some(Item::RootSlot),
                "boot-slot" => Some(Item::BootSlot),
                "data" => Some(Item::Data),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn loaded() -> LoadedRecipe {
        let text = "[image]\nname = \"edge\"\nversion = \"0.1.0\"\n[base]\nsuite = \"trixie\"\n[services]\nenable = \
                    [\"shh.service\"]\n";
        crate::recipe::parse(Path::new("edge.toml"), text).unwrap()
    }

    fn unknown(unit: &str) -> FinishError {
        FinishError::Unit(UnitError::Unknown {
            list: "enable",
            unit: unit.to_owned(),
            nearest: vec!["ssh.service".to_owned()],
        })
    }

    #[test]
    fn an_unknown_service_is_shown_in_the_recipe_with_the_nearest_name() {
        let error = in_recipe(&loaded(), unknown("shh.service"));
        let Error::Recipe(error) = error else {
            panic!("{error:?}")
        };
        let problem = &error.problems()[0];
        assert_eq!(problem.location().unwrap().to_string(), "edge.toml:7:11");
        assert_eq!(problem.help().unwrap().to_string(), "did you mean ssh.service?");
    }

    #[test]
    fn a_service_that_the_recipe_does_not_say_stays_an_error_of_its_own() {
        assert!(matches!(
            in_recipe(&loaded(), unknown("x.service")),
            Error::Finish(_)
        ));
    }
}
