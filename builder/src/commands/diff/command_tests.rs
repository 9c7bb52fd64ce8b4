//! The command, from words to output.

use std::{fs, path::Path};

use outcrop_release::digest::FileDigest;

use crate::{
    cache::Cache,
    commands::{diff::*, testing},
    inspect,
    lock::{
        self,
        format::{Archive, Lock, LockedPackage, LockedSuite, Role},
    },
    store::{ImageRecord, RecordedPackage, TreeStore},
    tree::{Entry, Tree},
};

fn diff(folder: &Path, old: &str, new: &str, json: bool) -> Result<String, Error> {
    let (context, written) = testing::context_with_cache(Some(Cache::at(folder)));
    let options = Options {
        old: old.to_owned(),
        new: new.to_owned(),
        files: false,
        json,
    };
    run(&options, &context).map(|()| written.text())
}

/// A lock with one package, for both architectures.
fn sample() -> Lock {
    let digest = FileDigest::of(b"sample");
    let package = LockedPackage {
        name: "curl".to_owned(),
        version: "8.14.1-2".to_owned(),
        architecture: "all".to_owned(),
        role: Role::Root,
        archive: Archive::Main,
        path: "pool/main/c/curl/curl_8.14.1-2_all.deb".to_owned(),
        size: 1000,
        sha256: digest,
        scripts: Vec::new(),
    };
    Lock {
        recipe: digest,
        suites: vec![LockedSuite {
            name: "trixie".to_owned(),
            archive: Archive::Main,
            in_release: digest,
            date: 1_700_000_000,
        }],
        packages: Architecture::ALL
            .map(|architecture| (architecture, vec![package.clone()]))
            .into(),
    }
}

fn lock_file(folder: &Path, name: &str, change: impl FnOnce(&mut Lock)) -> String {
    let mut lock = sample();
    change(&mut lock);
    let path = folder.join(name);
    fs::write(&path, lock::text::write(&lock).unwrap()).unwrap();
    path.display().to_string()
}

#[test]
fn two_locks_are_compared_architecture_by_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let old = lock_file(folder.path(), "old.lock", |_| ());
    let new = lock_file(folder.path(), "new.lock", |lock| {
        for packages in lock.packages.values_mut() {
            packages[0].version = "99".to_owned();
        }
    });
    let text = diff(folder.path(), &old, &new, false).unwrap();
    assert!(text.contains("-> 99") && text.contains("1 changed"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&diff(folder.path(), &old, &new, true).unwrap()).unwrap();
    assert_eq!(json["x86_64"]["packages"][0]["new"], "99");
    assert!(json["x86_64"]["files"].is_null());
}

/// An image for aarch64 with one package of the same version.
fn record(version: &str) -> ImageRecord {
    ImageRecord {
        name: "edge".parse().unwrap(),
        architecture: Architecture::Aarch64,
        version: version.to_owned(),
        recipe: String::new(),
        lock: String::new(),
        root_hash: version.to_owned(),
        kernel: "6.12".to_owned(),
        command_line: vec![],
        sizes: BTreeMap::new(),
        packages: vec![RecordedPackage {
            name: "curl".to_owned(),
            version: version.to_owned(),
            architecture: "arm64".to_owned(),
            sha256: String::new(),
        }],
    }
}

#[test]
fn two_builds_in_the_store_are_compared_without_reading_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = TreeStore::open_volatile(&Cache::at(folder.path()).store()).unwrap();
    let commit = |version: &str, text: &str| {
        let mut tree = Tree::new();
        tree.insert_all("etc/x".parse().unwrap(), Entry::file(0o644, text))
            .unwrap();
        store.commit_image(&tree, &record(version), &[], 0).unwrap();
    };
    commit("1", "old");
    commit("2", "newer");
    drop(store);
    let text = diff(folder.path(), "image/edge/aarch64^", "image/edge/aarch64", false).unwrap();
    assert!(text.starts_with("edge 1 -> edge 2 (aarch64)\n"), "{text}");
    assert!(
        text.contains("~ curl 1 -> 2") && text.contains("~ /etc/x (+2 B)"),
        "{text}"
    );
}

#[test]
fn an_image_is_compared_with_the_store_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let (image, _) = inspect::tests::image(folder.path(), None);
    let image = image.display().to_string();
    let same = diff(folder.path(), &image, &image, false).unwrap();
    assert_eq!(same, "edge 0.1.0 -> edge 0.1.0 (aarch64)\n\nNothing differs.\n");
    let store = TreeStore::open_volatile(&Cache::at(folder.path()).store()).unwrap();
    let mut tree = inspect::tests::root();
    tree.insert("usr/bin/s".parse().unwrap(), Entry::file(0o755, vec![3; 100]))
        .unwrap();
    let record = ImageRecord {
        command_line: vec!["debug".to_owned()],
        kernel: "6.12.2-arm64".to_owned(),
        ..record("0.2.0")
    };
    store.commit_image(&tree, &record, &[], 0).unwrap();
    drop(store);
    let text = diff(folder.path(), &image, "image/edge/aarch64", false).unwrap();
    assert!(text.contains("Kernel: 6.12.1-arm64 -> 6.12.2-arm64\n"), "{text}");
    assert!(
        text.contains("  + debug\n") && text.contains("  + curl 0.2.0\n"),
        "{text}"
    );
    assert!(
        text.contains("1 changed (same size)\n  ~ /usr/bin/s (same size, mode)\n"),
        "{text}"
    );
}

#[test]
fn what_names_nothing_or_has_nothing_in_common_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = lock_file(folder.path(), "a.lock", |_| ());
    drop(TreeStore::open_volatile(&Cache::at(folder.path()).store()).unwrap());
    for absent in ["image/none/x86_64", "nothing", "../x", "a b", "^", ""] {
        let error = diff(folder.path(), &lock, absent, false).unwrap_err();
        assert!(
            matches!(error, Error::Diff(DiffError::NotFound(_))),
            "{absent:?}: {error}"
        );
    }
    let empty = lock_file(folder.path(), "b.lock", |lock| {
        lock.packages
            .retain(|architecture, _| *architecture == Architecture::Aarch64);
    });
    let other = lock_file(folder.path(), "c.lock", |lock| {
        lock.packages
            .retain(|architecture, _| *architecture == Architecture::X86_64);
    });
    let error = diff(folder.path(), &empty, &other, false).unwrap_err();
    assert!(
        matches!(error, Error::Diff(DiffError::Architectures { .. })),
        "{error}"
    );
    let no_image = folder.path().join("x.img");
    fs::write(&no_image, [0; 4096]).unwrap();
    let error = diff(folder.path(), &lock, &no_image.display().to_string(), false).unwrap_err();
    assert!(matches!(error, Error::Diff(DiffError::Image(_))), "{error}");
}
