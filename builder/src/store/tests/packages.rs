//! Packages go in and come back.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use ostree::gio::Cancellable;
use outcrop_release::digest::FileDigest;

use super::{
    super::{testing::*, *},
    LISTED, sample,
};
use crate::{
    deb::testing::TarBuilder,
    progress::Silent,
    tree::{Content, Metadata, Node},
};

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
        let Content::Stored(own) = store.keep_file(&metadata, &mut bytes.as_slice()).unwrap() else {
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
    let mut files: Vec<PackageFile<'_>> = packages.iter().map(Package::file).collect();
    files.push(packages[1].file());
    let found = bench.store().import(&files, &Silent).unwrap();
    let names: Vec<_> = found.iter().map(|package| package.control.package()).collect();
    assert_eq!(names, ["p0", "p1", "p2", "p3", "p4", "p1"]);
}

/// Runs `work` without root's rights, if it has them.
fn unprivileged<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid};
    let drop_and_work = || {
        if rustix::process::geteuid().is_root() {
            let (gid, uid) = (Gid::from_raw(65534), Uid::from_raw(65534));
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap(); // of this thread and those that it starts
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(drop_and_work).join().unwrap())
}

#[test]
fn an_unprivileged_user_stores_the_same_objects_with_owners_and_setuid_bits() {
    let commit = |bench: &Bench, package: &Package| {
        assert_eq!(listing(&bench.import(package).files), LISTED);
        let commits = Commits::open(&bench.path()).unwrap();
        commits
            .resolve(&format!("deb/{}", package.digest))
            .unwrap()
            .unwrap()
    };
    let bench = Bench::new();
    let package = bench.package("sample", sample());
    let everyone = fs::Permissions::from_mode(0o777);
    fs::set_permissions(bench.folder.path(), everyone).unwrap();
    let theirs = unprivileged(|| commit(&bench, &package));
    let bench = Bench::new();
    assert_eq!(theirs, commit(&bench, &package));
}
