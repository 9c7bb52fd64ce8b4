//! Who decides over a unit.

use super::*;
use crate::{
    finish::testing,
    recipe::schema::{Recipe, Services},
};

const SSH: (&str, &str) = (
    "usr/lib/systemd/system/ssh.service",
    "[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n",
);

fn finished(files: &[(&str, &str)], recipe: &Recipe, unit: &str) -> Result<(Tree, Enabled), FinishError> {
    let mut tree = testing::tree(files);
    let packages = [testing::package(
        "p",
        vec![Action::EnableUnit {
            unit: unit.to_owned(),
        }],
    )];
    let inputs = Inputs {
        packages: &packages,
        ..testing::inputs(recipe)
    };
    let enabled = run(&mut tree, &inputs)?;
    Ok((tree, enabled))
}

fn services(enable: &[&str], disable: &[&str], mask: &[&str]) -> Recipe {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Recipe {
        services: Services {
            enable: list(enable),
            disable: list(disable),
            mask: list(mask),
        },
        ..testing::recipe()
    }
}

fn links(files: &[(&str, &str)], recipe: &Recipe, unit: &str) -> Vec<String> {
    finished(files, recipe, unit)
        .unwrap()
        .1
        .links
        .into_iter()
        .collect()
}

#[test]
fn a_package_enables_a_preset_overrules_it_and_the_recipe_overrules_both() {
    let preset = (
        "usr/lib/systemd/system-preset/10-x.preset",
        "disable ssh.service\n",
    );
    let on = ["multi-user.target/ssh.service"];
    assert_eq!(links(&[SSH], &testing::recipe(), "ssh.service"), on);
    assert!(links(&[SSH, preset], &testing::recipe(), "ssh.service").is_empty());
    assert_eq!(
        links(&[SSH, preset], &services(&["ssh.service"], &[], &[]), "x"),
        on
    );
    assert!(links(&[SSH], &services(&[], &["ssh.service"], &[]), "ssh.service").is_empty());
}

#[test]
fn an_alias_in_the_recipe_means_its_unit() {
    assert_eq!(
        links(&[SSH], &services(&["sshd.service"], &[], &[]), "x"),
        ["multi-user.target/ssh.service"]
    );
    assert!(links(&[SSH], &services(&[], &["sshd.service"], &[]), "ssh.service").is_empty());
}

#[test]
fn an_unknown_unit_is_refused_with_names_that_look_like_it() {
    for (recipe, list) in [
        (services(&["sssh.service"], &[], &[]), "enable"),
        (services(&[], &["sssh.service"], &[]), "disable"),
        (services(&[], &[], &["sssh.service"]), "mask"),
    ] {
        let error = finished(&[SSH], &recipe, "x").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("[services] {list}: there is no unit sssh.service in the image")
        );
        let FinishError::Unit(UnitError::Unknown { nearest, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!(nearest, ["ssh.service"]);
    }
}

#[test]
fn a_masked_unit_is_neither_enabled_nor_startable() {
    let (tree, enabled) = finished(&[SSH], &services(&[], &[], &["ssh.service"]), "ssh.service").unwrap();
    assert!(enabled.links.is_empty());
    assert!(
        matches!(&tree.get("etc/systemd/system/ssh.service").unwrap().node, Node::Symlink(to) if to == "/dev/null")
    );
    let error = finished(&[SSH], &services(&["ssh.service"], &[], &["ssh.service"]), "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "[services] enable: ssh.service can't be enabled: it is masked"
    );
}

#[test]
fn what_a_layer_masks_is_not_enabled_and_is_told() {
    let mask = ("etc/systemd/system/ssh.service", "");
    let (_, enabled) = finished(&[SSH, mask], &testing::recipe(), "ssh.service").unwrap();
    assert!(enabled.links.is_empty());
    assert_eq!(enabled.masked, ["ssh.service"]);
}

#[test]
fn the_default_is_multi_user_unless_a_layer_says_otherwise() {
    let target = ("usr/lib/systemd/system/multi-user.target", "[Unit]");
    let default = "etc/systemd/system/default.target";
    let link = |files: &[(&str, &str)]| {
        finished(files, &testing::recipe(), "x")
            .unwrap()
            .0
            .get(default)
            .unwrap()
            .clone()
    };
    assert!(
        matches!(&link(&[target]).node, Node::Symlink(to) if to == "/usr/lib/systemd/system/multi-user.target")
    );
    assert!(matches!(
        &link(&[target, (default, "[Unit]")]).node,
        Node::File(..)
    ));
}
