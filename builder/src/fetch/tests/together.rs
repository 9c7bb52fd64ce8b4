//! Several packages, several fetchers.

use std::thread;

use super::*;

#[test]
fn two_builds_that_want_the_same_package_download_it_once() {
    let body = body(1, 400_000);
    let package = package("a", &body);
    let for_server = body.clone();
    let server = Server::start(move |_, _| {
        thread::sleep(Duration::from_millis(150));
        Reply::File(for_server.clone())
    });
    let bench = Bench::new(&[&server]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let path = bench.fetch(std::slice::from_ref(&package)).unwrap().remove(0);
                assert_eq!(fs::read(path).unwrap(), body);
            });
        }
    });
    assert_eq!(server.requests().len(), 1);
    bench.assert_holds(&[&body]);
}

#[test]
fn a_build_continues_what_another_left_unfinished_while_it_waited() {
    let body = body(1, 400_000);
    let package = package("a", &body);
    let server = Server::with_files(vec![(path_of(&package), body.clone())]);
    let bench = Bench::new(&[&server]);
    // Given another process that holds the download, and dies after half of it
    bench.leave_partial(&package, &body[..200_000]);
    let held = fs::File::open(bench.partial(&package)).unwrap();
    held.lock().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| bench.fetch(std::slice::from_ref(&package)));
        thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        drop(held);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(server.requests()[0].from, 200_000);
    bench.assert_holds(&[&body]);
}

#[test]
fn a_file_that_two_architectures_share_is_fetched_once_and_delivered_twice() {
    let body = body(1, 100);
    let package = package("a", &body);
    let server = Server::with_files(vec![(path_of(&package), body)]);
    let bench = Bench::new(&[&server]);
    let delivered = Mutex::new(Vec::new());
    bench
        .fetcher()
        .fetch_each(&[package.clone(), package], &|fetched| {
            delivered.lock().unwrap().push(fetched.index);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(*delivered.lock().unwrap(), [0, 1]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn packages_are_delivered_while_others_still_come_in() {
    let bodies = [body(1, 1000), body(2, 10)];
    let packages = [package("large", &bodies[0]), package("small", &bodies[1])];
    let (small_is_there, wait_for_small) = std::sync::mpsc::channel();
    let wait_for_small = Mutex::new(wait_for_small);
    let for_server = bodies.clone();
    let server = Server::start(move |request, _| {
        if request.path.contains("large") {
            // answered only once the small one was delivered
            wait_for_small
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_secs(20))
                .unwrap();
            return Reply::File(for_server[0].clone());
        }
        Reply::File(for_server[1].clone())
    });
    let mut bench = Bench::new(&[&server]);
    bench.http = Http::direct(Timeouts::default(), 2);
    bench
        .fetcher()
        .fetch_each(&packages, &|fetched| {
            if fetched.index == 1 {
                small_is_there.send(()).unwrap();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
}

#[test]
fn a_receiver_that_breaks_ends_the_fetch() {
    let bodies: Vec<_> = (0..20).map(|seed| body(seed, 100)).collect();
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
    bench.effort.connections = 2;
    let error = bench
        .fetcher()
        .fetch_each(&packages, &|_| ControlFlow::Break(()))
        .unwrap_err();
    assert!(matches!(error, FetchError::Cancelled(_)));
    assert!(server.requests().len() <= 4);
    bench.fetch(&packages).unwrap();
}
