//! Locks that are missing, damaged or another recipe's: the build refuses them and says how to make a good one.

use std::fs;

use crate::bench::{Bench, RECIPE, body};

/// A mirror that must not be asked.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Checks that the build refuses what `change` makes of a good lock's text.
#[track_caller]
fn assert_refused(change: impl Fn(&str) -> String, needle: &str) {
    let bench = Bench::locked(&[body(100)]);
    let good = fs::read_to_string(bench.path("x.lock")).unwrap();
    bench.write_lock(&change(&good));
    bench.assert_refuses(
        bench.build(NOWHERE),
        3,
        &["x.lock", needle, "`outcrop lock x.toml`"],
    );
    assert!(!bench.path("out").exists());
}

/// Another hexadecimal digit in place of the first one after `key = "`; the last such key counts.
fn flip(text: &str, key: &str) -> String {
    let at = text.rfind(&format!("\n{key} = \"")).unwrap() + key.len() + 5;
    let other = if text[at..].starts_with('0') { "1" } else { "0" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

#[test]
fn a_missing_lock_is_refused() {
    let bench = Bench::new(RECIPE);
    let needles = ["x.lock does not exist", "`outcrop lock x.toml`"];
    bench.assert_refuses(bench.build(NOWHERE), 3, &needles);
    assert!(!bench.path("out").exists());
}

#[test]
fn a_truncated_lock_is_refused_wherever_it_ends() {
    for part in [0, 1, 2, 3] {
        assert_refused(|good| good[..good.len() * part / 4].to_owned(), "is truncated");
    }
}

#[test]
fn one_changed_digit_of_a_packages_digest_is_noticed() {
    assert_refused(|good| flip(good, "sha256"), "was changed after");
}

#[test]
fn one_changed_digit_of_the_locks_own_digest_is_noticed() {
    assert_refused(|good| flip(good, "digest"), "was changed after");
}

#[test]
fn a_lock_of_another_recipe_is_refused() {
    let bench = Bench::locked(&[body(100)]);
    let recipe = format!("{RECIPE}[packages]\ninstall = [\"htop\"]\n");
    fs::write(bench.path("x.toml"), recipe).unwrap();
    let needles = ["x.lock was made for another recipe", "`outcrop lock x.toml`"];
    bench.assert_refuses(bench.build(NOWHERE), 3, &needles);
    assert!(!bench.path("out").exists());
}
