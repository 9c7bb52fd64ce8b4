//! Folders that can't be written: exit code 5, with the folder's name.

use std::{fs, path::Path, process::Command};

use crate::bench::{Bench, RECIPE, assert_refused, body, build_arguments, good_server, mode};

const NOWHERE: &str = "http://127.0.0.1:9";

/// The program as somebody who isn't root: permissions mean nothing to root. The program's own folder may be closed to
/// others, so it is copied.
fn as_nobody(bench: &Bench, arguments: &[&str]) -> Command {
    let program = bench.path("outcrop");
    fs::copy(env!("CARGO_BIN_EXE_outcrop"), &program).unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--bounding-set=-all",
            ])
            .args(["--inh-caps=-all", "--no-new-privs"])
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    bench.prepare(&mut command, arguments);
    command
}

fn folder(path: &Path, bits: u32) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, mode(bits)).unwrap();
}

#[test]
fn an_output_folder_below_a_file_is_refused() {
    let bench = Bench::locked(&[body(100)]);
    fs::write(bench.path("out"), "a file").unwrap();
    let mut arguments = build_arguments(NOWHERE);
    arguments[5] = "out/images";
    bench.assert_refuses(bench.outcrop(&arguments), 5, &["out/images", "--output"]);
}

#[test]
fn an_output_folder_that_may_not_be_written_is_refused_before_anything_is_fetched() {
    let bodies = [body(100)];
    let bench = Bench::locked(&bodies);
    let server = good_server(&bodies);
    folder(&bench.path("cache"), 0o777);
    folder(&bench.path("out"), 0o555);
    let output = as_nobody(&bench, &build_arguments(&server.url()))
        .output()
        .unwrap();
    let out = bench.path("out").display().to_string();
    assert_refused(&output, 5, &[&out, "Permission denied", "--output"]);
    assert!(server.requests().is_empty(), "{:?}", server.requests());
    assert_eq!(fs::read_dir(bench.path("out")).unwrap().count(), 0);
}

#[test]
fn a_cache_folder_that_may_not_be_written_is_refused() {
    let bodies = [body(100)];
    let bench = Bench::locked(&bodies);
    let server = good_server(&bodies);
    folder(&bench.path("out"), 0o777);
    folder(&bench.path("cache"), 0o555);
    let output = as_nobody(&bench, &build_arguments(&server.url()))
        .output()
        .unwrap();
    let cache = bench.path("cache").display().to_string();
    assert_refused(&output, 5, &[&cache, "Permission denied", "--cache-dir"]);
    assert_eq!(fs::read_dir(bench.path("out")).unwrap().count(), 0);
    // nor may a lock be made with it
    folder(&bench.path(""), 0o777);
    let output = as_nobody(&bench, &["lock", "x.toml", "--mirror", NOWHERE])
        .output()
        .unwrap();
    assert_refused(&output, 5, &[&cache, "Permission denied", "--cache-dir"]);
}

#[test]
fn a_lock_beside_a_recipe_in_a_read_only_folder_is_refused_before_anything_is_fetched() {
    let bench = Bench::new(RECIPE);
    folder(&bench.path("cache"), 0o777);
    folder(&bench.path("recipes"), 0o777);
    fs::copy(bench.path("x.toml"), bench.path("recipes/x.toml")).unwrap();
    folder(&bench.path("recipes"), 0o555);
    let output = as_nobody(&bench, &["lock", "recipes/x.toml", "--mirror", NOWHERE])
        .output()
        .unwrap();
    assert_refused(&output, 5, &["recipes/x.lock", "Permission denied"]);
    assert_eq!(
        fs::read_dir(bench.path("recipes")).unwrap().count(),
        1,
        "only the recipe"
    );
}
