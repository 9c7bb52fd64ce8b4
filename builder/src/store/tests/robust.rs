//! Interruptions, damage, and others who use the store.

use std::{fs, path::PathBuf};

use super::{
    super::{testing::*, *},
    sample,
};
use crate::{
    deb::testing::TarBuilder,
    progress::{Cancelled, Phase, Progress, Silent, Unit},
    tree::{Content, Metadata, Node},
};

#[test]
fn a_package_that_breaks_off_leaves_no_reference_and_no_temporary_file() {
    let bench = Bench::new();
    let data = TarBuilder::new().file("./a", b"whole").entry(
        &crate::deb::testing::RawHeader {
            size: 1 << 20,
            ..crate::deb::testing::RawHeader::new(b'0', "./broken")
        },
        &[1; 4096],
    );
    let package = bench.package("sample", data);
    let error = bench.store().import(&[package.file()], &Silent).unwrap_err();
    assert!(matches!(error, StoreError::Package { .. }), "{error}");
    assert!(bench.store().package(&package.digest).unwrap().is_none());
    let left: Vec<_> = fs::read_dir(bench.path().join("tmp")).unwrap().collect();
    assert!(
        left.iter()
            .all(|entry| entry.as_ref().unwrap().file_name() == "cache")
    );
}

#[test]
fn two_builds_import_into_one_store_at_once() {
    let bench = Bench::new();
    let packages: Vec<Package> = (0..8)
        .map(|n| {
            bench.package(
                &format!("p{n}"),
                sample().file("./n", format!("{}", n % 3).as_bytes()),
            )
        })
        .collect();
    let files: Vec<PackageFile<'_>> = packages.iter().map(Package::file).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| bench.store().import(&files, &Silent).unwrap());
        }
    });
    assert_eq!(bench.store().packages().unwrap().len(), 8);
    bench.check();
}

#[test]
fn a_store_that_was_cut_short_by_a_power_cut_is_discarded() {
    let bench = Bench::new();
    let package = bench.package("sample", sample());
    bench.import(&package);
    fs::write(bench.path().join("unsynced").join("another-boot.1.0"), b"").unwrap();
    assert!(bench.store().package(&package.digest).unwrap().is_none());
    bench.import(&package);
    bench.check();
}

#[test]
fn a_store_of_another_format_is_made_anew() {
    let bench = Bench::new();
    let package = bench.package("sample", sample());
    bench.import(&package);
    fs::write(bench.path().join("outcrop-format"), "outcrop store 0\n").unwrap();
    assert!(bench.store().package(&package.digest).unwrap().is_none());
}

#[test]
fn a_missing_object_is_reported_with_what_to_do() {
    let bench = Bench::new();
    let package = bench.package("sample", sample());
    let imported = bench.import(&package);
    let Node::File(Content::Stored(object), _) = &imported.files.get("usr/bin/owned").unwrap().node else {
        panic!("a stored file");
    };
    fs::remove_file(&object.path).unwrap();
    let error = bench.store().package(&package.digest).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(
        miette::Diagnostic::help(&error)
            .unwrap()
            .to_string()
            .contains("remove its folder")
    );
}

#[test]
fn verifying_finds_a_changed_byte_owner_and_listing() {
    let bench = Bench::new();
    let imported = bench.import(&bench.package("sample", sample()));
    let verify = || bench.store().verify(&Silent).unwrap();
    let sound = verify();
    assert_eq!((sound.objects, sound.damaged.len()), (14, 0));
    let object = |path: &str| match &imported.files.get(path).unwrap().node {
        Node::File(Content::Stored(object), _) => object.path.clone(),
        other => panic!("{other:?}"),
    };
    let changed = object("usr/bin/su");
    fs::write(&changed, b"setuiD").unwrap();
    assert_eq!(verify().damaged, [changed]);
    let owned = object("usr/bin/mail");
    let other = variant::metadata_bytes(&Metadata::root(0o4755), variant::REGULAR);
    rustix::fs::setxattr(&owned, "user.ostreemeta", &other, rustix::fs::XattrFlags::empty()).unwrap();
    let listing = find_object(&bench, "dirtree");
    fs::write(&listing, b"").unwrap();
    let damaged = verify().damaged;
    assert!(damaged.len() == 3 && damaged.contains(&owned) && damaged.contains(&listing));
    discard(&bench.path()).unwrap();
    assert!(!bench.path().exists());
}

fn find_object(bench: &Bench, kind: &str) -> PathBuf {
    let folders = Objects::new(&bench.path()).folders().unwrap();
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut paths = files.map(|entry| entry.unwrap().path());
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == kind))
        .unwrap()
}

/// Asks to stop after some checkpoints.
struct StopAfter(std::sync::atomic::AtomicIsize);

impl Progress for StopAfter {
    fn phase(&self, name: &str, total: Option<u64>, unit: Unit) -> Box<dyn Phase> {
        Silent.phase(name, total, unit)
    }

    fn note(&self, _: &str) {}

    fn checkpoint(&self) -> Result<(), Cancelled> {
        let before = self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        if before <= 0 { Err(Cancelled) } else { Ok(()) }
    }
}

#[test]
fn an_import_that_is_stopped_keeps_what_it_has() {
    let bench = Bench::new();
    let packages: Vec<Package> = (0..6)
        .map(|n| {
            bench.package(
                &format!("p{n}"),
                TarBuilder::new().file("./x", format!("{n}").as_bytes()),
            )
        })
        .collect();
    let files: Vec<PackageFile<'_>> = packages.iter().map(Package::file).collect();
    let stop = StopAfter((6 + 2).into()); // six to look up, two to import
    let error = bench.store().import(&files, &stop).unwrap_err();
    assert!(matches!(error, StoreError::Cancelled(_)), "{error}");
    assert_eq!(bench.store().packages().unwrap().len(), 2);
    assert_eq!(bench.store().import(&files, &Silent).unwrap().len(), 6);
    bench.check();
}

#[test]
fn a_killed_importer_leaves_a_usable_store() {
    const CHILD: &str = "OUTCROP_TEST_KILLED_IMPORTER";
    let packages = |bench: &Bench| -> Vec<Package> {
        let files = |n: usize| {
            (0..200).fold(TarBuilder::new(), |tar, file| {
                tar.file(
                    &format!("./p{n}-{file}"),
                    format!("{n} {file}").repeat(file).as_bytes(),
                )
            })
        };
        (0..12)
            .map(|n| bench.package(&format!("p{n}"), files(n)))
            .collect()
    };
    if let Some(folder) = std::env::var_os(CHILD) {
        let bench = Bench {
            folder: tempfile::Builder::new()
                .disable_cleanup(true)
                .tempdir_in(&folder)
                .unwrap(),
        };
        let packages = packages(&bench);
        let files: Vec<PackageFile<'_>> = packages.iter().map(Package::file).collect();
        let store = TreeStore::open(&Path::new(&folder).join("store"), &Silent).unwrap();
        println!("importing");
        store.import(&files, &Silent).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(60)); // never gets here: it is killed
        return;
    }
    let bench = Bench::new();
    let packages = packages(&bench);
    for delay in [0, 10, 25, 60] {
        kill_importer(CHILD, bench.folder.path(), delay);
        let done = bench.store().packages().unwrap();
        for digest in &done {
            assert!(bench.store().package(digest).unwrap().is_some());
        }
        bench.check();
    }
    let files: Vec<PackageFile<'_>> = packages.iter().map(Package::file).collect();
    assert_eq!(bench.store().import(&files, &Silent).unwrap().len(), 12);
    bench.check();
    let left = fs::read_dir(bench.path().join("tmp")).unwrap();
    let leftover = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b"outcrop-");
    assert!(
        left.into_iter()
            .all(|entry| !leftover(&entry.unwrap().file_name()))
    );
}

/// Runs this test binary again as an importer, and kills it `delay` milliseconds after it began to import.
fn kill_importer(variable: &str, folder: &Path, delay: u64) {
    use std::io::{BufRead as _, BufReader};
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::robust::a_killed_importer_leaves_a_usable_store",
            "--nocapture",
        ])
        .env(variable, folder)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let began = output.lines().any(|line| line.unwrap().contains("importing"));
    assert!(began, "the importer began");
    std::thread::sleep(std::time::Duration::from_millis(delay));
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}
