//! Recipes that say what can't be.

use crate::bench::{Bench, RECIPE};

/// Checks that `lock` and `build` refuse `recipe` with code 3 and say every needle; neither a lock nor an output folder
/// appears.
#[track_caller]
fn assert_refused(recipe: &str, needles: &[&str]) {
    let bench = Bench::new(recipe);
    for arguments in [&["lock", "x.toml"][..], &["build", "x.toml", "--output", "out"]] {
        bench.assert_refuses(bench.outcrop(arguments), 3, needles);
        assert!(!bench.path("x.lock").exists() && !bench.path("out").exists());
    }
}

#[test]
fn what_is_not_toml_is_shown_with_its_line() {
    assert_refused("[image\nname = \"x\"\n", &["x.toml:1:", "not TOML"]);
}

#[test]
fn a_value_of_the_wrong_type_is_shown_with_the_right_one() {
    let recipe = RECIPE.replace("\"1.0.0\"", "1");
    assert_refused(&recipe, &["x.toml:3:", "`version` must be", "in quotes"]);
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest_one() {
    let recipe = RECIPE.replace("name =", "nmae =");
    assert_refused(
        &recipe,
        &["x.toml:2:", "unknown key `nmae`", "did you mean `name`?"],
    );
}

#[test]
fn a_version_that_is_not_semantic_is_shown_with_an_example() {
    let recipe = RECIPE.replace("1.0.0", "1.0");
    assert_refused(&recipe, &["x.toml:3:", "1.0", "1.2.3"]);
}

#[test]
fn two_files_with_one_path_are_shown_with_the_way_out() {
    let file = "[[files]]\npath = \"/etc/motd\"\ncontent = \"\"\n";
    assert_refused(
        &format!("{RECIPE}{file}{file}"),
        &["x.toml:", "/etc/motd", "replace = true"],
    );
}

#[test]
fn what_can_be_no_service_is_shown_with_its_line() {
    let recipe = format!("{RECIPE}[services]\nenable = [\"ssh\"]\n");
    assert_refused(&recipe, &["x.toml:8:", "ssh", ".service"]);
}

#[test]
fn a_slot_below_the_least_size_is_shown_with_it() {
    for (key, least) in [("root-slot", "64MiB"), ("boot-slot", "32MiB"), ("data", "128MiB")] {
        let recipe = format!("{RECIPE}[disk]\n{key} = \"1MiB\"\n");
        assert_refused(&recipe, &["x.toml:8:", &format!("at least {least}")]);
    }
    let recipe = format!("{RECIPE}[disk]\ndata = \"100GiB\"\n");
    assert_refused(&recipe, &["x.toml:8:", "at most 8GiB", "the device lets it grow"]);
}

#[test]
fn a_recipe_that_is_not_there_is_named() {
    let bench = Bench::new(RECIPE);
    for command in ["lock", "build"] {
        bench.assert_refuses(bench.outcrop(&[command, "y.toml"]), 3, &["y.toml"]);
    }
}
