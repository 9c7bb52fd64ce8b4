//! What `systemctl enable` and `mask` do to a tree.

use std::collections::BTreeSet;

use super::unit::{self, Found, Install, Scope};
use crate::{
    finish::{edit, error::FinishError},
    tree::Tree,
};

/// Why a unit wasn't enabled; for units that the recipe names this is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Unknown,
    Masked,
    /// No `[Install]` section.
    Static,
    /// A template, and neither an instance nor a default.
    Template,
}

/// Makes links for `unit` and the units that it names with `Also`; `links` collects them as `WANTING/UNIT`.
pub(super) fn enable(
    tree: &mut Tree,
    scope: Scope,
    unit: &str,
    links: &mut BTreeSet<String>,
) -> Result<Result<(), Refusal>, FinishError> {
    let mut done = BTreeSet::new();
    let mut todo = vec![unit.to_owned()];
    let mut first = Ok(());
    while let Some(next) = todo.pop() {
        if !done.insert(next.clone()) {
            continue;
        }
        match enable_one(tree, scope, &next, links)? {
            Ok(install) => todo.extend(install.also),
            Err(refusal) if next == unit => first = Err(refusal),
            Err(_) => {}
        }
    }
    Ok(first)
}

fn enable_one(
    tree: &mut Tree,
    scope: Scope,
    unit: &str,
    links: &mut BTreeSet<String>,
) -> Result<Result<Install, Refusal>, FinishError> {
    let path = match unit::find(tree, scope, unit) {
        Found::Nothing => return Ok(Err(Refusal::Unknown)),
        Found::Masked => return Ok(Err(Refusal::Masked)),
        Found::File(path) => path,
    };
    let install = unit::install(tree, &path)?;
    if install.is_empty() {
        return Ok(Err(Refusal::Static));
    }
    // A link's name says the unit's own name, so that enabling through an alias gives the same link.
    let own = path.file_name().unwrap_or(unit);
    let unit = if unit::template(unit).as_deref() == Some(own) {
        unit
    } else {
        own
    };
    let name = match (&install.default_instance, unit::is_template(unit)) {
        (Some(instance), true) => unit.replacen("@.", &format!("@{instance}."), 1),
        (None, true) => return Ok(Err(Refusal::Template)),
        _ => unit.to_owned(),
    };
    let target = format!("/{}", path.as_str());
    for (kind, wanting) in [
        ("wants", &install.wanted_by),
        ("requires", &install.required_by),
        ("upholds", &install.upheld_by),
    ] {
        for wanting in wanting {
            let wanting = specifiers(wanting, &name);
            edit::link(
                tree,
                &format!("{}/{wanting}.{kind}/{name}", scope.config()),
                &target,
            )?;
            links.insert(format!("{wanting}/{name}"));
        }
    }
    for alias in &install.alias {
        edit::link(
            tree,
            &format!("{}/{}", scope.config(), specifiers(alias, &name)),
            &target,
        )?;
    }
    Ok(Ok(install))
}

/// `%i`, `%j`, `%p`, `%n`, `%%` in `[Install]`; others don't occur there.
fn specifiers(text: &str, unit: &str) -> String {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    text.replace("%i", instance)
        .replace("%j", prefix.rsplit('-').next().unwrap_or_default())
        .replace("%p", prefix)
        .replace("%n", unit)
        .replace("%%", "%")
}

/// Makes `unit` impossible to start: its name in the configuration folder is a link to /dev/null.
pub(super) fn mask(tree: &mut Tree, scope: Scope, unit: &str) -> Result<(), FinishError> {
    edit::link(tree, &format!("{}/{unit}", scope.config()), "/dev/null")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    const VENDOR: &str = "usr/lib/systemd/system";

    fn enabled(files: &[(&str, &str)], unit: &str) -> (Vec<String>, Result<(), Refusal>, Tree) {
        let files: Vec<(String, &str)> = files
            .iter()
            .map(|(name, text)| (format!("{VENDOR}/{name}"), *text))
            .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let mut tree = testing::tree(&files);
        let mut links = BTreeSet::new();
        let result = enable(&mut tree, Scope::System, unit, &mut links).unwrap();
        (links.into_iter().collect(), result, tree)
    }

    #[test]
    fn links_aliases_and_also_are_made() {
        let (links, result, tree) = enabled(
            &[
                (
                    "a.service",
                    "[Install]\nWantedBy=multi-user.target\nAlias=b.service\nAlso=c.socket missing.service\n",
                ),
                ("c.socket", "[Install]\nRequiredBy=sockets.target\n"),
            ],
            "a.service",
        );
        assert_eq!(
            (links, result),
            (
                vec![
                    "multi-user.target/a.service".into(),
                    "sockets.target/c.socket".into()
                ],
                Ok(())
            )
        );
        for link in [
            "multi-user.target.wants/a.service",
            "b.service",
            "sockets.target.requires/c.socket",
        ] {
            assert!(
                edit::resolve(&tree, &format!("etc/systemd/system/{link}").parse().unwrap()).is_some(),
                "{link}"
            );
        }
    }

    #[test]
    fn templates_take_their_default_instance_or_the_given_one() {
        let getty = [(
            "getty@.service",
            "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
        )];
        assert_eq!(
            enabled(&getty, "getty@.service").0,
            ["getty.target/getty@tty1.service"]
        );
        assert_eq!(
            enabled(&getty, "getty@tty7.service").0,
            ["getty.target/getty@tty7.service"]
        );
        let wg = [("wg@.service", "[Install]\nWantedBy=up@%i.target\n")];
        assert_eq!(enabled(&wg, "wg@.service").1, Err(Refusal::Template));
        assert_eq!(enabled(&wg, "wg@wg0.service").0, ["up@wg0.target/wg@wg0.service"]);
    }

    #[test]
    fn static_and_unknown_units_are_told_apart() {
        assert_eq!(
            enabled(&[("a.service", "[Unit]\n")], "a.service").1,
            Err(Refusal::Static)
        );
        assert_eq!(enabled(&[], "a.service").1, Err(Refusal::Unknown));
    }
}
