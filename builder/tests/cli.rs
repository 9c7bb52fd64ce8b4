//! The program from outside: exit codes, standard output and error, what it leaves behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    path::Path,
    process::{Command, Output},
};

/// Runs `outcrop` in `folder` with nothing of the caller's environment.
fn outcrop(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_outcrop"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_new_recipe_is_written_once_and_a_second_time_is_refused_with_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let first = outcrop(folder.path(), &["new", "edge"]);
    assert_eq!((first.status.code(), text(&first.stderr)), (Some(0), ""));
    assert!(text(&first.stdout).starts_with("wrote edge.toml\n"), "{first:?}");
    let second = outcrop(folder.path(), &["new", "edge"]);
    assert_eq!((second.status.code(), text(&second.stdout)), (Some(3), ""));
    assert!(
        text(&second.stderr).contains("edge.toml exists already"),
        "{second:?}"
    );
    assert!(
        !text(&second.stderr).contains('\u{1b}'),
        "no colours without a terminal"
    );
}

#[test]
fn quiet_says_nothing_and_a_bad_name_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let quiet = outcrop(folder.path(), &["new", "edge", "--quiet"]);
    assert_eq!(
        (quiet.status.code(), quiet.stdout.len(), quiet.stderr.len()),
        (Some(0), 0, 0)
    );
    let bad = outcrop(folder.path(), &["new", "../edge"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("can't name an image"), "{bad:?}");
    assert_eq!(outcrop(folder.path(), &[]).status.code(), Some(2));
}

#[test]
fn pages_and_completions_come_from_the_program_itself() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(outcrop(folder.path(), &["man", "man1"]).status.code(), Some(0));
    assert!(folder.path().join("man1/outcrop-new.1").exists());
    let bash = outcrop(folder.path(), &["completions", "bash"]);
    assert!(bash.status.success() && text(&bash.stdout).contains("complete -F"));
}
