//! Files by their own address.

use miette::Diagnostic as _;

use super::*;

fn file(server: &Server, body: &[u8]) -> WebFile {
    WebFile {
        what: "the program".to_owned(),
        url: format!("{}/kube", server.url()),
        sha256: FileDigest::of(body),
    }
}

#[test]
fn a_file_of_unknown_length_comes_whole_after_a_cut_and_is_fetched_once() {
    let whole = body(1, 300_000);
    for stated in [true, false] {
        let served = whole.clone();
        let server = Server::start(move |_, count| match (count, stated) {
            (0, _) => Reply::Cut(served.clone(), 200_000),
            (_, true) => Reply::File(served.clone()),
            (_, false) => Reply::Unmeasured(served.clone()),
        });
        let bench = Bench::new(&[]);
        let file = file(&server, &whole);
        let path = bench.fetcher().fetch_web_file(&file).unwrap();
        assert_eq!(fs::read(path).unwrap(), whole);
        let requests = server.requests().len();
        bench.fetcher().fetch_web_file(&file).unwrap();
        assert_eq!(server.requests().len(), requests, "it is in the cache");
        bench.assert_holds(&[&whole]);
    }
}

#[test]
fn another_file_under_the_address_is_refused_and_not_kept() {
    let (right, wrong) = (body(1, 5000), body(2, 5000));
    let server = Server::start(move |_, _| Reply::File(wrong.clone()));
    let bench = Bench::new(&[]);
    let file = file(&server, &right);
    let error = bench.fetcher().fetch_web_file(&file).unwrap_err();
    let FetchError::WebFile { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(**source, TransferError::Content { .. }), "{source:?}");
    assert!(bench.shelf.find_any(&file.sha256).is_none());
}

#[test]
fn what_can_t_be_had_is_named_with_where_to_put_it_and_taken_from_there() {
    let right = body(1, 5000);
    let server = Server::start(|_, _| Reply::Status(404));
    let mut bench = Bench::new(&[]);
    let file = file(&server, &right);
    let place = bench.shelf.path(&file.sha256);
    let online = bench.fetcher().fetch_web_file(&file).unwrap_err();
    bench.mode = Mode::Offline;
    let offline = bench.fetcher().fetch_web_file(&file).unwrap_err();
    for error in [online, offline] {
        assert_eq!(error.class(), FailureClass::Network);
        assert!(error.to_string().contains(&file.url), "{error}");
        let help = error.help().unwrap().to_string();
        assert!(help.contains(&place.display().to_string()), "{help}");
    }
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, &right).unwrap();
    assert_eq!(bench.fetcher().fetch_web_file(&file).unwrap(), place);
}
