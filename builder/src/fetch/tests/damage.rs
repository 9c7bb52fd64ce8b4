//! Bodies that are wrong, and downloads that were interrupted.

use super::*;

#[test]
fn a_truncated_body_is_continued_where_it_ended() {
    let body = body(1, 500_000);
    let for_server = body.clone();
    let server = Server::start(move |_, number| match number {
        0 | 1 => Reply::Cut(for_server.clone(), 200_000),
        _ => Reply::File(for_server.clone()),
    });
    let bench = Bench::new(&[&server]);
    bench.fetch(&[package("a", &body)]).unwrap();
    let starts: Vec<_> = server.requests().iter().map(|request| request.from).collect();
    assert_eq!(starts, [0, 200_000, 400_000]);
    assert_eq!(server.body_bytes(), 500_000, "no byte came twice");
    assert_eq!(bench.progress.bytes(), 500_000);
    bench.assert_holds(&[&body]);
}

#[test]
fn a_server_that_always_cuts_early_is_given_up() {
    let server = Server::start(|_, _| Reply::Cut(body(1, 1000), 0));
    let bench = Bench::new(&[&server]);
    let error = bench.fetch(&[package("a", &body(1, 1000))]).unwrap_err();
    assert_eq!(error.class(), FailureClass::Network);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn an_interrupted_download_is_continued_by_the_next_run() {
    let body = body(1, 1_000_000);
    let package = package("a", &body);
    let server = Server::with_files(vec![(path_of(&package), body.clone())]);
    let mut bench = Bench::new(&[&server]);
    // Given a user who stops after 300 kB
    bench.progress = Counter::cancelling_at(300_000);
    let error = bench.fetch(std::slice::from_ref(&package)).unwrap_err();
    assert!(matches!(error, FetchError::Cancelled(_)), "{error:?}");
    let kept = fs::metadata(bench.partial(&package)).unwrap().len();
    assert!((300_000..1_000_000).contains(&kept), "{kept}");
    assert!(!bench.shelf.path(&package.sha256).exists());
    // When it is fetched again
    bench.progress = Counter::new();
    bench.fetch(std::slice::from_ref(&package)).unwrap();
    // Then only the rest was asked for
    assert_eq!(server.requests()[1].from, kept);
    assert_eq!(bench.progress.bytes(), 1_000_000);
    bench.assert_holds(&[&body]);
}

#[test]
fn a_server_that_ignores_ranges_makes_the_download_begin_again() {
    let body = body(1, 100_000);
    let for_server = body.clone();
    let server = Server::start(move |_, _| Reply::Whole(for_server.clone()));
    let bench = Bench::new(&[&server]);
    let package = package("a", &body);
    bench.leave_partial(&package, &body[..50_000]);
    bench.fetch(&[package]).unwrap();
    assert_eq!(server.requests().len(), 1);
    bench.assert_holds(&[&body]);
}

#[test]
fn garbage_left_by_a_crash_is_noticed_and_fetched_anew() {
    let body = body(1, 100_000);
    let package = package("a", &body);
    for garbage in [vec![0; 50_000], vec![0; 100_000], vec![0; 200_000]] {
        let server = Server::with_files(vec![(path_of(&package), body.clone())]);
        let bench = Bench::new(&[&server]);
        bench.leave_partial(&package, &garbage);
        bench.fetch(std::slice::from_ref(&package)).unwrap();
        bench.assert_holds(&[&body]);
        assert!(server.requests().len() <= 2, "{}", garbage.len());
    }
    // a whole file that only lacks its name needs no request
    let server = Server::with_files(Vec::new());
    let bench = Bench::new(&[&server]);
    bench.leave_partial(&package, &body);
    bench.fetch(&[package]).unwrap();
    assert_eq!(server.requests(), []);
}

#[test]
fn another_file_under_the_same_name_is_refused_and_never_kept() {
    let (right, wrong) = (body(1, 1000), body(2, 1000));
    let package = package("a", &right);
    let server = Server::with_files(vec![(path_of(&package), wrong.clone())]);
    let bench = Bench::new(&[&server]);
    let error = bench.fetch(std::slice::from_ref(&package)).unwrap_err();
    let FetchError::Transfer { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(**source, TransferError::Content { actual, .. } if actual == FileDigest::of(&wrong)));
    assert!(chain(&error).contains("the mirror has another file under this name"));
    assert!(!bench.shelf.path(&package.sha256).exists());
    assert_eq!(fs::metadata(bench.partial(&package)).unwrap().len(), 0);
    // the next mirror may have the right one
    let other = Server::with_files(vec![(path_of(&package), right.clone())]);
    let bench = Bench::new(&[&server, &other]);
    bench.fetch(&[package]).unwrap();
    bench.assert_holds(&[&right]);
}

#[test]
fn a_file_longer_than_locked_is_refused_at_once() {
    let locked = package("a", &body(1, 1000));
    let long = vec![7; 20_000_000];
    let measured = Server::with_files(vec![(path_of(&locked), long.clone())]);
    let unmeasured = Server::start(move |_, _| Reply::Unmeasured(long.clone()));
    for server in [&measured, &unmeasured] {
        let bench = Bench::new(&[server]);
        let message = chain(&bench.fetch(std::slice::from_ref(&locked)).unwrap_err());
        assert!(
            message.contains("longer than the 1000 bytes that the lock says"),
            "{message}"
        );
        assert_eq!(fs::metadata(bench.partial(&locked)).unwrap().len(), 0);
        assert!(
            server.body_bytes() < 16_000_000,
            "{} bytes were taken",
            server.body_bytes()
        );
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_cached_file_of_another_length_is_replaced() {
    let body = body(1, 1000);
    let package = package("a", &body);
    let server = Server::with_files(vec![(path_of(&package), body.clone())]);
    let bench = Bench::new(&[&server]);
    let path = bench.shelf.path(&package.sha256);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"short").unwrap();
    bench.fetch(&[package]).unwrap();
    bench.assert_holds(&[&body]);
}

#[test]
fn rechecking_removes_a_damaged_file_and_keeps_a_sound_one() {
    let body = body(1, 300_000);
    let package = package("a", &body);
    let server = Server::with_files(vec![(path_of(&package), body.clone())]);
    let bench = Bench::new(&[&server]);
    let path = bench.fetch(std::slice::from_ref(&package)).unwrap().remove(0);
    assert_eq!(bench.shelf.recheck(&package.sha256).unwrap(), Recheck::Sound);
    let mut damaged = body;
    damaged[150_000] ^= 1;
    fs::write(&path, damaged).unwrap();
    assert_eq!(bench.shelf.recheck(&package.sha256).unwrap(), Recheck::Removed);
    assert!(!path.exists());
    assert_eq!(bench.shelf.recheck(&package.sha256).unwrap(), Recheck::Removed);
}

/// Writing to `/dev/full` fails as on a full disk.
#[test]
fn a_full_disk_is_an_error_that_names_the_folder_and_leaves_the_cache_usable() {
    let body = body(1, 100_000);
    let package = package("a", &body);
    let server = Server::with_files(vec![(path_of(&package), body.clone())]);
    let bench = Bench::new(&[&server]);
    fs::create_dir_all(bench.shelf.partial_folder()).unwrap();
    std::os::unix::fs::symlink("/dev/full", bench.partial(&package)).unwrap();
    let error = bench.fetch(std::slice::from_ref(&package)).unwrap_err();
    assert!(
        matches!(&error, FetchError::Cache { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
    );
    assert_eq!(error.class(), FailureClass::Environment);
    let folder = bench.folder.path().join("packages");
    assert!(chain(&error).contains(&folder.display().to_string()));
    assert!(help(&error).contains("free space"));
    fs::remove_file(bench.partial(&package)).unwrap();
    bench.fetch(&[package]).unwrap();
    bench.assert_holds(&[&body]);
}

#[test]
fn a_cache_that_cannot_be_made_is_an_error_that_names_it() {
    let server = Server::with_files(Vec::new());
    let bench = Bench::new(&[&server]);
    fs::write(bench.folder.path().join("packages"), "a file").unwrap();
    let error = bench.fetch(&[package("a", b"x")]).unwrap_err();
    assert!(matches!(error, FetchError::Cache { .. }), "{error:?}");
    assert_eq!(server.requests(), []);
}
