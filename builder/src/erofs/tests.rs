//! What is planned and written reads back, and bad trees and bad images are refused.

mod after;

use std::{collections::BTreeMap, io, sync::Arc};

use proptest::prelude::*;
use uuid::Uuid;

use super::{BLOCK_BYTES, Entry, ErofsError, Node, Options, Plan, ReadError, Reader, XattrError};
use crate::{
    progress::{Phase, Silent},
    tree::{self, Content, LinkGroup, Metadata, StoredObject, Tree, TreePath},
};

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn options() -> Options {
    Options {
        uuid: Uuid::from_bytes([0x5a; 16]),
        time: 1_700_000_000,
        label: Some("outcrop-root".to_owned()),
    }
}

fn image(tree: &Tree) -> Vec<u8> {
    let plan = Plan::new(tree, &options()).unwrap();
    let mut image = Vec::new();
    plan.write(&mut image, &Silent).unwrap();
    assert_eq!(image.len() as u64, plan.size_bytes());
    image
}

fn entries(image: &[u8]) -> BTreeMap<TreePath, Entry> {
    let reader = Reader::open(image).unwrap();
    reader
        .walk()
        .map(|entry| entry.map(|entry| (entry.path.clone(), entry)))
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Compares every path of `tree` with what the image has.
fn assert_same(tree: &Tree, image: &[u8]) {
    let reader = Reader::open(image).unwrap();
    let found = entries(image);
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        tree.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
    let mut groups: BTreeMap<LinkGroup, Vec<u64>> = BTreeMap::new();
    for (path, wanted) in tree.iter() {
        let entry = &found[path];
        assert_eq!(entry.metadata, wanted.metadata, "{path}");
        assert_eq!(entry.time, options().time);
        match (&wanted.node, &entry.node) {
            (tree::Node::Directory, Node::Directory) => {
                let folders = tree.children(path).filter(|(_, child)| child.is_directory());
                assert_eq!(entry.links as usize, folders.count() + 2, "{path}");
            }
            (tree::Node::Symlink(wanted), Node::Symlink(target)) => assert_eq!(target, wanted),
            (tree::Node::File(content, group), Node::File { .. }) => {
                let bytes = reader.read_entry(entry, u64::MAX).unwrap();
                assert!(bytes == content.read().unwrap(), "{path}");
                let mut streamed = Vec::new();
                io::copy(&mut reader.file(entry).unwrap(), &mut streamed).unwrap();
                assert!(streamed == bytes, "{path}");
                match group {
                    Some(group) => groups.entry(*group).or_default().push(entry.inode),
                    None => assert_eq!(entry.links, 1),
                }
            }
            (wanted, found) => panic!("{path}: {wanted:?} became {found:?}"),
        }
    }
    for (group, inodes) in groups {
        assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{group:?}");
        let names = found.values().filter(|entry| entry.inode == inodes[0]);
        assert!(
            names
                .clone()
                .all(|entry| entry.links as usize == names.clone().count())
        );
    }
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,2}",
        "[!-.0-~]{1,3}".prop_filter("dots", |name| name != "." && name != ".."),
        "[a-b]{200,255}",
        "ä{1,4}",
    ]
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let id = prop_oneof![Just(0_u32), Just(65_535), Just(65_536), any::<u32>()];
    let name = prop_oneof!["user\\.[a-z]{1,9}", Just("security.capability".to_owned())];
    let xattrs = prop_oneof![
        4 => Just(BTreeMap::new()),
        1 => proptest::collection::btree_map(name, proptest::collection::vec(any::<u8>(), 0..40), 0..3),
        1 => proptest::collection::btree_map("trusted\\.[a-z]", proptest::collection::vec(any::<u8>(), 0..5000), 1..3),
    ];
    (0_u16..0o10000, id.clone(), id, xattrs).prop_map(|(mode, uid, gid, xattrs)| Metadata {
        mode,
        uid,
        gid,
        xattrs,
    })
}

fn any_node() -> impl Strategy<Value = tree::Node> {
    let size = prop_oneof![
        9 => 0..100_usize,
        9 => 3900..4200_usize,
        9 => 8000..8300_usize,
        1 => Just(1_100_000), // more than a piece of the writer
    ];
    prop_oneof![
        2 => Just(tree::Node::Directory),
        4 => (size, any::<u8>()).prop_map(|(size, first)| {
            let bytes: Vec<u8> = (0..size).map(|at| first.wrapping_add(u8::try_from(at % 251).unwrap())).collect();
            tree::Node::File(bytes.into(), None)
        }),
        1 => "[a-z/]{1,60}".prop_map(tree::Node::Symlink),
        1 => (4000_usize..=4095).prop_map(|bytes| tree::Node::Symlink("t".repeat(bytes))),
    ]
}

/// Trees of up to 60 entries; some files get second names.
fn any_tree() -> impl Strategy<Value = Tree> {
    let item = (
        proptest::collection::vec(any_name(), 1..4),
        any_metadata(),
        any_node(),
        0..8_u32,
    );
    proptest::collection::vec(item, 0..60).prop_map(|items| {
        let mut tree = Tree::new();
        for (number, (names, metadata, node, link)) in items.into_iter().enumerate() {
            let group = LinkGroup(u32::try_from(number).unwrap());
            let node = match node {
                tree::Node::File(content, None) if link == 0 => tree::Node::File(content, Some(group)),
                node => node,
            };
            let second = (link == 0).then(|| format!("second-{number}"));
            let entry = tree::Entry { metadata, node };
            let Ok(path) = names.join("/").parse::<TreePath>() else {
                continue;
            };
            if tree.insert_all(path, entry.clone()).is_ok()
                && !entry.is_directory()
                && let Some(second) = second
            {
                tree.insert(second.parse().unwrap(), entry).unwrap();
            }
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_tree_reads_back_as_it_was(tree in any_tree()) {
        assert_same(&tree, &image(&tree));
    }

    #[test]
    fn a_damaged_image_never_panics_and_never_reads_forever(
        tree in any_tree(),
        damage in proptest::collection::vec((0_usize..40_000, any::<u8>()), 1..20),
    ) {
        let mut image = image(&tree);
        image[1032] = 0; // no checksum: damage shall get further than the first block
        for (at, byte) in damage {
            let length = image.len();
            image[if at < 8192 { 1024 } else { 4096 } + at % (length - 4096)] = byte;
        }
        exhaust(&image);
    }
}

/// Reads all that can be read.
fn exhaust(image: &[u8]) {
    let Ok(reader) = Reader::open(image) else {
        return;
    };
    for entry in reader.walk().map_while(Result::ok) {
        let _ = reader.find(&entry.path);
        let _ = reader.read_entry(&entry, 1 << 20);
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let mut tree = Tree::new();
    for number in 0..500 {
        let file = format!("usr/share/{}/{number}", number % 7);
        tree.insert_all(
            path(&file),
            tree::Entry::file(0o644, file.repeat(number).as_str()),
        )
        .unwrap();
    }
    assert!(image(&tree) == image(&tree.clone()));
}

#[test]
fn a_folder_of_many_blocks_reads_back() {
    let mut tree = Tree::new();
    for number in 0..5000 {
        let name = format!("some-rather-long-name-{number:07}");
        tree.insert(path(&name), tree::Entry::symlink("x")).unwrap();
    }
    let image = image(&tree);
    assert_same(&tree, &image);
    let found = Reader::open(&image[..]).unwrap();
    let entry = found.find(&path("some-rather-long-name-0004321")).unwrap();
    assert_eq!(entry.unwrap().node, Node::Symlink("x".to_owned()));
    assert_eq!(
        found.find(&path("some-rather-long-name-0004321/x")).unwrap(),
        None
    );
    assert_eq!(found.find(&path("other")).unwrap(), None);
}

fn stored(folder: &std::path::Path, name: &str, bytes: &[u8]) -> Content {
    let file = folder.join(name);
    std::fs::write(&file, bytes).unwrap();
    Content::Stored(Arc::new(StoredObject {
        checksum: name.to_owned(),
        path: file,
        size: bytes.len() as u64,
        metadata: Metadata::root(0o644),
    }))
}

#[test]
fn one_object_of_the_store_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let content = stored(folder.path(), "a", &[3; 3 * BLOCK_BYTES]);
    let mut tree = Tree::new();
    tree.insert(path("one"), tree::Entry::file(0o644, content.clone()))
        .unwrap();
    let alone = image(&tree).len();
    tree.insert(path("two"), tree::Entry::file(0o644, content))
        .unwrap();
    let both = image(&tree);
    assert_eq!(both.len(), alone);
    assert_same(&tree, &both);
}

#[test]
fn a_content_that_shrank_or_grew_since_it_was_planned_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [&b"shorter"[..], &[1; 6000]] {
        let content = stored(folder.path(), "a", &[3; 5000]);
        let mut tree = Tree::new();
        tree.insert(path("file"), tree::Entry::file(0o644, content))
            .unwrap();
        let plan = Plan::new(&tree, &options()).unwrap();
        std::fs::write(folder.path().join("a"), bytes).unwrap();
        let error = plan.write(&mut io::sink(), &Silent).unwrap_err();
        assert!(
            matches!(&error, ErofsError::Changed { path, planned: 5000 } if path.as_str() == "file"),
            "{error}"
        );
    }
}

#[test]
fn a_missing_content_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    let content = stored(folder.path(), "a", &[3; 5000]);
    tree.insert(path("file"), tree::Entry::file(0o644, content))
        .unwrap();
    std::fs::remove_file(folder.path().join("a")).unwrap();
    let error = Plan::new(&tree, &options())
        .unwrap()
        .write(&mut io::sink(), &Silent)
        .unwrap_err();
    assert!(matches!(error, ErofsError::Content { path, .. } if path.as_str() == "file"));
}

#[test]
fn a_full_disk_ends_the_writing_with_the_place() {
    struct Full(u64);
    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len() as u64)
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut tree = Tree::new();
    tree.insert(path("file"), tree::Entry::file(0o644, vec![1; 20 << 20]))
        .unwrap();
    let plan = Plan::new(&tree, &options()).unwrap();
    let error = plan.write(&mut Full(3 << 20), &Silent).unwrap_err();
    assert!(
        matches!(&error, ErofsError::Output { offset, .. } if *offset == 3 << 20),
        "{error}"
    );
}

#[test]
fn a_cancelled_write_stops() {
    struct Stopped;
    impl Phase for Stopped {
        fn advance(&self, _: u64) {}
        fn set_total(&self, _: u64) {}
        fn checkpoint(&self) -> Result<(), crate::progress::Cancelled> {
            Err(crate::progress::Cancelled)
        }
    }
    let plan = Plan::new(&Tree::new(), &options()).unwrap();
    assert!(matches!(
        plan.write(&mut io::sink(), &Stopped),
        Err(ErofsError::Cancelled(_))
    ));
}

#[test]
fn what_the_format_cannot_hold_is_refused_with_its_path() {
    let plan = |entry: tree::Entry| {
        let mut tree = Tree::new();
        tree.insert(path("it"), entry).unwrap();
        Plan::new(&tree, &options()).unwrap_err()
    };
    for target in ["", "a\0b", &"x".repeat(4096)] {
        let error = plan(tree::Entry::symlink(target));
        assert!(matches!(error, ErofsError::Target { path, .. } if path.as_str() == "it"));
    }
    let mut entry = tree::Entry::directory(0o755);
    entry.metadata.xattrs.insert("system.odd".to_owned(), Vec::new());
    assert!(matches!(
        plan(entry),
        ErofsError::Xattr {
            source: XattrError::Name(_),
            ..
        }
    ));
    let huge = Content::Stored(Arc::new(StoredObject {
        checksum: "huge".to_owned(),
        path: "/nowhere".into(),
        size: u64::MAX - 7,
        metadata: Metadata::root(0o644),
    }));
    let error = plan(tree::Entry::file(0o644, huge));
    assert!(matches!(error, ErofsError::TooLarge { path } if path.as_str() == "it"));
    let label = Options {
        label: Some("seventeen letters".to_owned()),
        ..options()
    };
    assert!(matches!(
        Plan::new(&Tree::new(), &label),
        Err(ErofsError::Label(_))
    ));
}

#[test]
fn names_of_one_file_that_disagree_are_refused() {
    for (content, mode) in [("other", 0o644), ("same", 0o600)] {
        let mut tree = Tree::new();
        for (name, content, mode) in [("a", "same", 0o644), ("b", content, mode)] {
            let mut entry = tree::Entry::file(mode, content);
            entry.node = tree::Node::File(content.into(), Some(LinkGroup(1)));
            tree.insert(path(name), entry).unwrap();
        }
        let error = Plan::new(&tree, &options()).unwrap_err();
        assert!(matches!(error, ErofsError::LinkMismatch { path, first }
            if path.as_str() == "b" && first.as_str() == "a"));
    }
}

#[test]
fn a_file_keeps_its_blocks_and_a_small_one_its_block_when_others_change() {
    // Given two versions of a tree: one folder gets a longer name, one file grows
    let tree = |folder: &str, grown: usize| {
        let mut tree = Tree::new();
        for number in 0..400_usize {
            let bytes: Vec<u8> = (0..number * 40)
                .map(|at| u8::try_from(at * number % 253).unwrap())
                .collect();
            let file = path(&format!("usr/{folder}/{number}"));
            tree.insert_all(file, tree::Entry::file(0o644, bytes)).unwrap();
        }
        tree.insert_all(path("etc/grown"), tree::Entry::file(0o644, vec![1; grown]))
            .unwrap();
        tree
    };
    let (old, new) = (image(&tree("6.12.1", 100)), image(&tree("6.12.11", 9000)));
    // When the new image's blocks are looked for in the old one
    let known: std::collections::HashSet<&[u8]> = old.chunks(BLOCK_BYTES).collect();
    let fresh = new
        .chunks(BLOCK_BYTES)
        .filter(|block| !known.contains(block))
        .count();
    // Then only the superblock, folders, addresses, the grown file and the border between small files are new
    let blocks = new.len() / BLOCK_BYTES;
    assert!(blocks > 800 && fresh <= 20, "{fresh} of {blocks} blocks are new");
}

#[test]
fn an_image_cut_short_or_empty_is_refused() {
    let image = image(&Tree::new());
    assert!(matches!(Reader::open(&image[..4095]), Err(ReadError::NotErofs)));
    assert!(matches!(
        Reader::open(&image[..4096]),
        Err(ReadError::Truncated {
            expected: 8192,
            found: 4096
        })
    ));
    assert!(matches!(Reader::open(&[0; 8192][..]), Err(ReadError::NotErofs)));
}
