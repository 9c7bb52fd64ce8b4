//! Finished and derived trees, and what a prune leaves of them.

use outcrop_release::{arch::Architecture, digest::FileDigest};

use super::{
    super::{testing::*, *},
    sample,
};
use crate::{
    deb::testing::TarBuilder,
    tree::{Content, Entry, Metadata, Node, Tree},
};

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
    let commit = |tree: &Tree, record: &ImageRecord| {
        store.commit_image(tree, record, b"where", 1_700_000_000).unwrap()
    };
    let first = commit(&tree, &record());
    assert!(first.new);
    let same = commit(&tree, &record());
    assert_eq!((same.new, &same.commit), (false, &first.commit));
    let stored = store.image(&name, Architecture::X86_64).unwrap().unwrap();
    assert_eq!(listing(&stored.tree), listing(&tree));
    assert_eq!((stored.time, &stored.record), (1_700_000_000, &record()));
    assert_eq!(stored.addresses.as_deref(), Some(&b"where"[..]));
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
    let content = store
        .keep_file(&Metadata::root(0o600), &mut &b"made"[..])
        .unwrap();
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
        store.commit_image(&image, &record(), &[], 0).unwrap();
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
