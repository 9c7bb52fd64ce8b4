//! Mirrors that are gone, slow, forgetful or in trouble.

use super::*;

#[test]
fn what_is_missing_is_downloaded_once_and_found_afterwards() {
    let bodies = [body(1, 300_000), body(2, 10)];
    let packages = [package("libstdc++6", &bodies[0]), package("b", &bodies[1])];
    let files = packages
        .iter()
        .zip(&bodies)
        .map(|(package, body)| (path_of(package), body.clone()));
    let server = Server::with_files(files.collect());
    let bench = Bench::new(&[&server]);
    let paths = bench.fetch(&packages).unwrap();
    assert_eq!(fs::read(&paths[0]).unwrap(), bodies[0]);
    assert_eq!(paths[1], bench.shelf.path(&packages[1].sha256));
    bench.assert_holds(&[&bodies[0], &bodies[1]]);
    assert_eq!(bench.fetch(&packages).unwrap(), paths);
    assert_eq!(server.requests().len(), 2);
    assert_eq!(bench.progress.bytes(), 2 * 300_010);
}

#[test]
fn packages_of_the_security_archive_come_from_its_own_folder() {
    let body = body(1, 10);
    let mut package = package("a", &body);
    package.archive = Archive::Security;
    package.path = "pool/updates/main/a.deb".to_owned();
    let path = "/debian-security/pool/updates/main/a.deb".to_owned();
    let server = Server::with_files(vec![(path, body)]);
    Bench::new(&[&server]).fetch(&[package]).unwrap();
}

#[test]
fn connections_are_kept_and_no_more_than_allowed() {
    let bodies: Vec<_> = (0..40).map(|seed| body(seed, 2000)).collect();
    let packages: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| package(&format!("p{i}"), body))
        .collect();
    let files = packages
        .iter()
        .zip(&bodies)
        .map(|(package, body)| (path_of(package), body.clone()));
    let server = Server::with_files(files.collect());
    let mut bench = Bench::new(&[&server]);
    bench.effort.connections = 3;
    bench.fetch(&packages).unwrap();
    assert_eq!(server.requests().len(), 40);
    assert!(server.connections() <= 3, "{} connections", server.connections());
}

#[test]
fn a_mirror_that_is_gone_is_tried_again_with_growing_waits_then_reported() {
    let gone = Server::with_files(Vec::new()).url(); // dropped: nobody listens there
    let bench = Bench::with_urls(std::slice::from_ref(&gone));
    let error = bench.fetch(&[package("curl", b"x")]).unwrap_err();
    assert_eq!(error.class(), FailureClass::Network);
    let message = chain(&error);
    let start = format!(
        "fetch curl 1:2.0~rc1+b1 (amd64) from {gone}/debian/pool/main/curl.deb: connect to the server: "
    );
    assert!(message.starts_with(&start), "{message}");
    assert!(help(&error).contains("--mirror"));
    assert_eq!(bench.clock.total(), Duration::from_millis(500 + 1000 + 2000));
}

#[test]
fn the_next_mirror_takes_over_and_a_dead_one_is_not_asked_again() {
    let bodies: Vec<_> = (0..5).map(|seed| body(seed, 100)).collect();
    let packages: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| package(&format!("p{i}"), body))
        .collect();
    let broken = Server::start(|_, _| Reply::Status(503));
    let files = packages
        .iter()
        .zip(&bodies)
        .map(|(package, body)| (path_of(package), body.clone()));
    let sound = Server::with_files(files.collect());
    let mut bench = Bench::new(&[&broken, &sound]);
    bench.effort.connections = 1;
    bench.fetch(&packages).unwrap();
    assert_eq!(broken.requests().len(), 4, "only the first package's tries");
    assert_eq!(sound.requests().len(), 5);
}

#[test]
fn a_server_that_fails_every_second_request_delays_and_no_more() {
    let bodies: Vec<_> = (0..6).map(|seed| body(seed, 100)).collect();
    let packages: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(i, body)| package(&format!("p{i}"), body))
        .collect();
    let for_server = bodies.clone();
    let server = Server::start(move |request, number| {
        let index: usize = request
            .path
            .trim_start_matches("/debian/pool/main/p")
            .trim_end_matches(".deb")
            .parse()
            .unwrap();
        if number % 2 == 0 {
            Reply::Status(500)
        } else {
            Reply::File(for_server[index].clone())
        }
    });
    let mut bench = Bench::new(&[&server]);
    bench.effort.connections = 1;
    bench.fetch(&packages).unwrap();
    bench.assert_holds(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn a_stalled_answer_is_given_up_and_continued() {
    let body = body(1, 200_000);
    let for_server = body.clone();
    let server = Server::start(move |_, number| match number {
        0 => Reply::Stall(for_server.clone(), 100_000, Duration::from_secs(3)),
        _ => Reply::File(for_server.clone()),
    });
    let bench = Bench::new(&[&server]);
    bench.fetch(&[package("a", &body)]).unwrap();
    assert_eq!(server.requests()[1].from, 100_000);
}

#[test]
fn a_server_that_never_answers_is_reported() {
    let server = Server::start(|_, _| Reply::Stall(Vec::new(), 0, Duration::from_secs(3)));
    let mut bench = Bench::new(&[&server]);
    bench.effort.tries = 2;
    let error = bench.fetch(&[package("a", b"x")]).unwrap_err();
    assert_eq!(error.class(), FailureClass::Network);
}

#[test]
fn redirects_are_followed_with_the_range() {
    let body = body(1, 1000);
    let for_server = body.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/elsewhere" => Reply::File(for_server.clone()),
        _ => Reply::Redirect("/elsewhere".to_owned()),
    });
    let bench = Bench::new(&[&server]);
    let package = package("a", &body);
    bench.leave_partial(&package, &body[..400]);
    bench.fetch(&[package]).unwrap();
    let last = server.requests().pop().unwrap();
    assert_eq!(
        last,
        Request {
            path: "/elsewhere".to_owned(),
            from: 400
        }
    );
}

#[test]
fn a_redirect_loop_is_reported_at_once() {
    let server = Server::start(|_, _| Reply::Redirect("/again".to_owned()));
    let bench = Bench::new(&[&server]);
    let message = chain(&bench.fetch(&[package("a", b"x")]).unwrap_err());
    assert!(message.contains("follow the server's redirects"), "{message}");
    assert_eq!(bench.clock.total(), Duration::ZERO);
}

#[test]
fn a_package_that_no_mirror_has_is_asked_for_once_each_and_all_such_are_listed() {
    let (first, second) = (Server::with_files(Vec::new()), Server::with_files(Vec::new()));
    let bench = Bench::new(&[&first, &second]);
    let error = bench
        .fetch(&[package("b", b"1"), package("a", b"2")])
        .unwrap_err();
    assert_eq!(
        chain(&error),
        "no mirror has 2 locked packages any more:\n  a 1:2.0~rc1+b1 (amd64)\n  b 1:2.0~rc1+b1 (amd64)"
    );
    assert!(help(&error).contains("outcrop lock"));
    assert_eq!((first.requests().len(), second.requests().len()), (2, 2));
    assert_eq!(bench.clock.total(), Duration::ZERO);
}

#[test]
fn a_forbidden_package_is_an_error_of_the_mirror_not_a_dropped_package() {
    let server = Server::start(|_, _| Reply::Status(403));
    let message = chain(&Bench::new(&[&server]).fetch(&[package("a", b"x")]).unwrap_err());
    assert!(message.contains("status 403"), "{message}");
    assert_eq!(server.requests().len(), 1);
}

/// A lock whose main suites are of 2026-11-01 and 2026-11-20, 12:00 UTC.
fn dated_lock() -> Lock {
    let suite = |name: &str, date| LockedSuite {
        name: name.to_owned(),
        archive: Archive::Main,
        in_release: FileDigest::of(b""),
        date,
    };
    Lock {
        recipe: FileDigest::of(b""),
        suites: vec![
            suite("trixie", 1_793_534_400),
            suite("trixie-updates", 1_795_176_000),
        ],
        packages: std::collections::BTreeMap::new(),
    }
}

#[test]
fn a_dropped_package_comes_from_the_snapshot_of_the_locks_date() {
    let body = body(1, 100);
    let mirror = Server::with_files(Vec::new());
    let place = "/archive/debian/20261120T120000Z/pool/main/a.deb".to_owned();
    let snapshot = Server::with_files(vec![(place.clone(), body.clone())]);
    let mut bench = Bench::new(&[&mirror]);
    bench.sources.snapshot = Some(Snapshot::at(&snapshot.url(), &dated_lock()));
    bench.fetch(&[package("a", &body)]).unwrap();
    let asked: Vec<_> = snapshot
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(asked, [place.replace("1120T", "1121T"), place]);
}

#[test]
fn a_snapshot_service_that_is_away_is_asked_once_and_named_as_the_cause() {
    let mirror = Server::with_files(Vec::new());
    let away = Server::with_files(Vec::new()).url();
    let mut bench = Bench::new(&[&mirror]);
    bench.effort.connections = 1;
    bench.sources.snapshot = Some(Snapshot::at(&away, &dated_lock()));
    let error = bench
        .fetch(&[package("a", b"1"), package("b", b"2")])
        .unwrap_err();
    let message = chain(&error);
    assert!(
        message.starts_with("no mirror has 2 locked packages any more:"),
        "{message}"
    );
    assert!(
        message.contains(&format!("ask {away} for them: connect to the server")),
        "{message}"
    );
    assert_eq!(
        bench.clock.total(),
        Duration::from_millis(500),
        "one second try in all"
    );
}

#[test]
fn offline_lists_everything_that_is_missing_and_delivers_nothing() {
    let server = Server::with_files(Vec::new());
    let mut bench = Bench::new(&[&server]);
    bench.mode = Mode::Offline;
    let there = package("there", b"x");
    fs::create_dir_all(bench.shelf.path(&there.sha256).parent().unwrap()).unwrap();
    fs::write(bench.shelf.path(&there.sha256), b"x").unwrap();
    let packages = [package("b", b"1"), there.clone(), package("a", b"2")];
    let error = bench
        .fetcher()
        .fetch_each(&packages, &|_| panic!("nothing may be delivered"))
        .unwrap_err();
    assert_eq!(
        chain(&error),
        "2 packages not in the cache, and --offline forbids to fetch them:\n  a 1:2.0~rc1+b1 (amd64)\n  b \
         1:2.0~rc1+b1 (amd64)"
    );
    assert!(bench.fetch(&[there]).is_ok());
    assert_eq!(server.requests(), []);
}

#[test]
fn without_any_mirror_the_error_says_how_to_name_one() {
    let bench = Bench::with_urls(&[]);
    let error = bench.fetch(&[package("a", b"x")]).unwrap_err();
    assert!(help(&error).contains("--mirror") && chain(&error).contains("a 1:2.0"));
    assert!(bench.fetch(&[]).unwrap().is_empty());
}
