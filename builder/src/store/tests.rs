//! What the store promises.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use ostree::gio::Cancellable;
use outcrop_release::{arch::Architecture, digest::FileDigest};

use super::{testing::*, *};
use crate::{
    deb::testing::TarBuilder,
    progress::Silent,
    tree::{Content, Entry, Metadata, Node, Tree},
};

fn sample() -> TarBuilder {
    TarBuilder::new()
        .directory(".")
        .directory("./usr")
        .directory("./usr/bin")
        .file_with("./usr/bin/su", 0o4755, 0, 0, b"setuid")
        .file_with("./usr/bin/mail", 0o2755, 0, 8, b"setgid")
        .file_with("./usr/bin/owned", 0o640, 1000, 1001, b"owned")
        .hard_link("./usr/bin/sudo", "./usr/bin/su")
        .symlink("./usr/bin/sh", "dash")
        .file("./usr/bin/empty", b"")
}

const LISTED: [&str; 9] = [
    "/ 755 0:0 folder",
    "/usr 755 0:0 folder",
    "/usr/bin 755 0:0 folder",
    "/usr/bin/empty 644 0:0 \"\"",
    "/usr/bin/mail 2755 0:8 \"setgid\"",
    "/usr/bin/owned 640 1000:1001 \"owned\"",
    "/usr/bin/sh 777 0:0 -> dash",
    "/usr/bin/su 4755 0:0 \"setuid\" link 0",
    "/usr/bin/sudo 4755 0:0 \"setuid\" link 0",
];

#[test]
fn a_package_comes_back_with_owners_setuid_bits_links_and_control_files() {
    let bench = Bench::new();
    let package = bench.package("sample", sample());
    let imported = bench.import(&package);
    assert_eq!(listing(&imported.files), LISTED);
    let loaded = bench.store().package(&package.digest).unwrap().unwrap();
    assert_eq!(listing(&loaded.files), LISTED);
    assert_eq!(
        (loaded.control.package(), loaded.control.version()),
        ("sample", "1.0")
    );
    assert_eq!(loaded.control.file("md5sums"), Some(&b"00  usr/bin/x\n"[..]));
}

#[test]
fn libostree_finds_every_object_sound() {
    let bench = Bench::new();
    let long = vec![7_u8; 1 << 20];
    bench.import(&bench.package("sample", sample().file("./usr/long", &long)));
    assert_eq!(bench.check(), 15); // 6 files and links, 2 control files, 5 listings, 1 folder metadata, 1 commit
}

#[test]
fn objects_have_the_checksums_that_libostree_gives_them() {
    let bench = Bench::new();
    let store = bench.store();
    let reference = tempfile::tempdir().unwrap();
    let repo = ostree::Repo::new_for_path(reference.path());
    repo.create(ostree::RepoMode::BareUser, Cancellable::NONE)
        .unwrap();
    for (mode, length) in [(0o644, 0), (0o4755, 10), (0o600, 300 << 10)] {
        let mut metadata = Metadata::root(mode);
        metadata.uid = 7;
        metadata
            .xattrs
            .insert("security.capability".to_owned(), vec![1, 0, 0, 2]);
        let bytes = vec![b'x'; length];
        let Content::Stored(own) = store.keep_file(&metadata, &bytes).unwrap() else {
            panic!("content is stored");
        };
        let xattrs = ostree::glib::prelude::ToVariant::to_variant(&vec![(
            b"security.capability\0".to_vec(),
            vec![1_u8, 0, 0, 2],
        )]);
        let theirs = repo
            .write_regfile_inline(
                None,
                7,
                0,
                u32::from(mode) | variant::REGULAR,
                Some(&xattrs),
                &bytes,
                Cancellable::NONE,
            )
            .unwrap();
        assert_eq!(own.checksum, theirs.as_str());
        let theirs = Objects::new(reference.path()).file(&checksum::Checksum::parse(&theirs).unwrap());
        let objects::FileObject::Regular(theirs) = theirs.unwrap() else {
            panic!("a regular file");
        };
        assert_eq!((own.size, &own.metadata), (theirs.size, &theirs.metadata));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&own.path), mode(&theirs.path));
    }
}

#[test]
fn equal_files_of_two_packages_are_one_object() {
    let bench = Bench::new();
    let first = bench.import(&bench.package("one", TarBuilder::new().file("./a", b"same")));
    let second = bench.import(&bench.package("two", TarBuilder::new().file("./b", b"same")));
    let object = |package: &PackageTree, path| match &package.files.get(path).unwrap().node {
        Node::File(Content::Stored(object), None) => Arc::clone(object),
        other => panic!("{other:?}"),
    };
    assert_eq!(object(&first, "a"), object(&second, "b"));
}

#[test]
fn a_file_that_is_not_the_locked_one_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let mut package = bench.package("sample", sample());
    package.digest = FileDigest::of(b"another");
    let error = bench.store().import(&[package.file()], &Silent).unwrap_err();
    assert!(matches!(error, StoreError::Digest { .. }), "{error}");
    assert!(bench.store().packages().unwrap().is_empty());
}

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
fn packages_come_back_in_the_order_asked_for_whether_new_or_known() {
    let bench = Bench::new();
    let packages: Vec<Package> = (0..5)
        .map(|n| {
            bench.package(
                &format!("p{n}"),
                TarBuilder::new().file("./x", &vec![b'x'; n * 9000]),
            )
        })
        .collect();
    bench.import(&packages[3]);
    let files: Vec<PackageFile<'_>> = packages.iter().map(Package::file).collect();
    let found = bench.store().import(&files, &Silent).unwrap();
    let names: Vec<_> = found.iter().map(|package| package.control.package()).collect();
    assert_eq!(names, ["p0", "p1", "p2", "p3", "p4"]);
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

fn record() -> ImageRecord {
    ImageRecord {
        name: "edge".parse().unwrap(),
        architecture: Architecture::X86_64,
        version: "0.1.0".to_owned(),
        recipe: "r".to_owned(),
        lock: "l".to_owned(),
        root_hash: "h".to_owned(),
        kernel: "6.12".to_owned(),
        command_line: vec!["quiet".to_owned()],
        sizes: [("root".to_owned(), 4096)].into(),
        packages: vec![],
    }
}

#[test]
fn an_image_comes_back_as_it_was_committed_and_an_equal_one_makes_no_new_commit() {
    let bench = Bench::new();
    let package = bench.import(&bench.package("sample", sample()));
    let store = bench.store();
    let mut tree = package.files.clone();
    tree.metadata_mut("usr/bin/mail").unwrap().mode = 0o755;
    tree.insert_all("etc/os-release".parse().unwrap(), Entry::file(0o644, "ID=x\n"))
        .unwrap();
    let name = "edge".parse().unwrap();
    let commit = |tree: &Tree, record: &ImageRecord| store.commit_image(tree, record, 1_700_000_000).unwrap();
    let first = commit(&tree, &record());
    assert!(first.new);
    let same = commit(&tree, &record());
    assert_eq!((same.new, &same.commit), (false, &first.commit));
    let stored = store.image(&name, Architecture::X86_64).unwrap().unwrap();
    assert_eq!(listing(&stored.tree), listing(&tree));
    assert_eq!((stored.time, &stored.record), (1_700_000_000, &record()));
    let mut newer = record();
    newer.version = "0.2.0".to_owned();
    let second = commit(&tree, &newer);
    assert_eq!((second.new, &second.tree), (true, &first.tree));
    let stored = store.image_at("image/edge/x86_64^").unwrap().unwrap();
    assert_eq!(stored.commit, first.commit);
    bench.check();
}

#[test]
fn a_derived_tree_is_remembered_by_its_key_alone() {
    let bench = Bench::new();
    let store = bench.store();
    let key = FileDigest::of(b"key");
    assert!(store.recall_tree(&key).unwrap().is_none());
    let mut tree = Tree::new();
    let content = store.keep_file(&Metadata::root(0o600), b"made").unwrap();
    tree.insert_all("a/b".parse().unwrap(), Entry::file(0o644, content))
        .unwrap();
    store.remember_tree(&key, &tree).unwrap();
    assert_eq!(
        listing(&store.recall_tree(&key).unwrap().unwrap()),
        listing(&tree)
    );
}

#[test]
fn pruning_keeps_what_is_named_and_what_images_use() {
    let bench = Bench::new();
    let kept = bench.package("kept", TarBuilder::new().file("./kept", b"kept"));
    let dropped = bench.package(
        "dropped",
        TarBuilder::new().file("./used", b"used").file("./gone", b"gone"),
    );
    bench.import(&kept);
    let tree = bench.import(&dropped).files.clone();
    {
        let store = bench.store();
        let mut image = tree.clone();
        image.remove(&"gone".parse().unwrap());
        store.commit_image(&image, &record(), 0).unwrap();
        store.remember_tree(&FileDigest::of(b"1"), &image).unwrap();
        let mut unused = Tree::new();
        unused
            .insert("x".parse().unwrap(), Entry::file(0o644, "nobody's"))
            .unwrap();
        store.remember_tree(&FileDigest::of(b"2"), &unused).unwrap();
        let keep = Keep::default();
        assert!(matches!(
            prune(&bench.path(), &keep),
            Err(StoreError::Busy { .. })
        ));
    }
    let keep = Keep {
        packages: [kept.digest].into(),
        history: 0,
    };
    let pruned = prune(&bench.path(), &keep).unwrap();
    assert_eq!(pruned.references, 2);
    assert!(pruned.objects > 0 && pruned.bytes > 0);
    let store = bench.store();
    assert_eq!(store.packages().unwrap(), [kept.digest]);
    assert!(store.recall_tree(&FileDigest::of(b"1")).unwrap().is_some());
    assert!(store.recall_tree(&FileDigest::of(b"2")).unwrap().is_none());
    let path = |name| match &tree.get(name).unwrap().node {
        Node::File(Content::Stored(object), _) => object.path.clone(),
        other => panic!("{other:?}"),
    };
    assert!(path("used").exists() && !path("gone").exists());
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
        let store = TreeStore::open(&Path::new(&folder).join("store")).unwrap();
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
            "store::tests::a_killed_importer_leaves_a_usable_store",
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
