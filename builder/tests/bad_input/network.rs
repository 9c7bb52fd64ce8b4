//! Mirrors that are gone or give something else: exit code 4 or 5, and the same cache works with a good mirror.

use std::fs;

use crate::{
    bench::{Bench, assert_refused, body, closed_port},
    server::{Reply, Server},
};

#[test]
fn a_mirror_that_is_gone_is_named_and_another_one_finishes_the_job() {
    let bodies = [body(1000), body(2000)];
    let bench = Bench::locked(&bodies);
    let gone = format!("http://127.0.0.1:{}", closed_port());
    bench.assert_refuses(
        bench.build(&gone),
        4,
        &[&gone, "connect to the server", "--mirror"],
    );
    bench.assert_good_mirror_works(&bodies);
}

#[test]
fn packages_that_no_mirror_has_are_named_with_the_command_that_locks_newer_ones() {
    let bodies = [body(1000), body(2000)];
    let bench = Bench::locked(&bodies);
    let server = Server::start(|_, _| Reply::Status(404));
    let needles = ["p0 1.0 (amd64)", "p1 1.0 (amd64)", "`outcrop lock`"];
    bench.assert_refuses(bench.build(&server.url()), 4, &needles);
    bench.assert_good_mirror_works(&bodies);
}

#[test]
fn a_body_that_always_ends_early_is_given_up_and_continued_by_the_next_build() {
    let bodies = [body(1000)];
    let bench = Bench::locked(&bodies);
    let cut = bodies[0].clone();
    let server = Server::start(move |request, _| match request.from {
        0 => Reply::Cut(cut.clone(), 400),
        _ => Reply::Cut(cut.clone(), 0),
    });
    bench.assert_refuses(bench.build(&server.url()), 4, &["p0 1.0 (amd64)", "try again"]);
    assert_eq!(bench.partial_bytes(), Some(400));
    bench.assert_good_mirror_works(&bodies);
}

#[test]
fn another_file_under_the_packages_name_is_refused_and_never_kept() {
    let bodies = [body(1000)];
    let bench = Bench::locked(&bodies);
    let server = Server::start(|_, _| Reply::File(vec![7; 1000]));
    let needles = ["p0 1.0 (amd64)", "SHA-256", "--mirror"];
    bench.assert_refuses(bench.build(&server.url()), 4, &needles);
    assert_eq!(bench.partial_bytes(), Some(0));
    bench.assert_good_mirror_works(&bodies);
}

#[test]
fn offline_names_what_the_cache_lacks() {
    let bench = Bench::locked(&[body(1000)]);
    let command = bench.outcrop(&["build", "x.toml", "--device-programs", "device", "--offline"]);
    bench.assert_refuses(command, 4, &["p0 1.0 (amd64)", "without --offline"]);
}

/// Writing to `/dev/full` fails as on a full disk.
#[test]
fn a_full_disk_under_the_cache_is_the_machines_failure() {
    let bodies = [body(1000)];
    let bench = Bench::locked(&bodies);
    let server = crate::bench::good_server(&bodies);
    let digest = outcrop_release::digest::FileDigest::of(&bodies[0]).to_string();
    let partial = bench.path("cache/packages/partial");
    fs::create_dir_all(&partial).unwrap();
    std::os::unix::fs::symlink("/dev/full", partial.join(&digest)).unwrap();
    let output = bench.build(&server.url()).output().unwrap();
    let folder = bench.path("cache/packages").display().to_string();
    assert_refused(
        &output,
        5,
        &[&folder, "No space left", "free space", "--cache-dir"],
    );
    fs::remove_file(partial.join(digest)).unwrap();
    bench.assert_good_mirror_works(&bodies);
}
