//! What a difference says.

use std::collections::BTreeMap;

use super::{
    changes::{Aspect, compare},
    text::Text,
    view::{FileFacts, FileKind, ReleaseView},
    *,
};
use crate::tree::Metadata;

fn file(mode: u16, size: u64, identity: &str) -> FileFacts {
    FileFacts {
        metadata: Metadata::root(mode),
        kind: FileKind::File {
            size,
            identity: identity.to_owned(),
        },
    }
}

fn view(label: &str, packages: &[(&str, &str)], files: &[(&str, FileFacts)]) -> ReleaseView {
    let owned = |(name, version): &(&str, &str)| ((*name).to_owned(), (*version).to_owned());
    let fact = |(path, facts): &(&str, FileFacts)| (path.parse().unwrap(), facts.clone());
    ReleaseView {
        label: label.to_owned(),
        packages: packages.iter().map(owned).collect(),
        kernel: Some("6.12.107".to_owned()),
        command_line: Some(vec!["ro".to_owned(), "quiet".to_owned()]),
        sizes: BTreeMap::from([("root".to_owned(), 1000)]),
        files: Some(files.iter().map(fact).collect()),
    }
}

fn shown(old: &ReleaseView, new: &ReleaseView, every_file: bool) -> String {
    let diff = compare(old, new);
    let text = Text {
        diff: &diff,
        heading: "x86_64",
        every_file,
    };
    text.to_string()
}

#[test]
fn packages_kernel_options_sizes_and_files_are_told() {
    let link = |target: &str| FileFacts {
        metadata: Metadata::root(0o777),
        kind: FileKind::Symlink(target.to_owned()),
    };
    let old = view(
        "edge 0.1.0",
        &[("curl", "8.14.1-2"), ("gone", "1"), ("same", "3")],
        &[
            ("etc/gone", file(0o644, 10, "a")),
            ("etc/link", link("a")),
            ("etc/mode", file(0o644, 1, "m")),
            ("etc/same", file(0o644, 5, "s")),
            ("etc/text", file(0o644, 100, "old")),
        ],
    );
    let mut new = view(
        "edge 0.2.0",
        &[("curl", "8.14.1-3"), ("new", "1:2"), ("same", "3")],
        &[
            ("etc/link", link("b")),
            ("etc/mode", file(0o4755, 1, "m")),
            ("etc/new", file(0o644, 2048, "n")),
            ("etc/same", file(0o644, 5, "s")),
            ("etc/text", file(0o644, 90, "new")),
        ],
    );
    new.kernel = Some("6.12.117".to_owned());
    new.command_line = Some(vec!["ro".to_owned(), "debug".to_owned()]);
    new.sizes = BTreeMap::from([("root".to_owned(), 5 << 20)]);
    insta::assert_snapshot!(shown(&old, &new, false), @r"
    edge 0.1.0 -> edge 0.2.0 (x86_64)

    Packages: 1 added, 1 removed, 1 changed
      ~ curl 8.14.1-2 -> 8.14.1-3
      - gone 1
      + new 1:2

    Kernel: 6.12.107 -> 6.12.117

    Kernel options:
      - quiet
      + debug

    Sizes:
      root 1000 B -> 5.0 MiB (+4.9 MiB)

    Files: 1 added (2.0 KiB), 1 removed (10 B), 3 changed (-10 B)
      - /etc/gone (10 B)
      ~ /etc/link (same size)
      ~ /etc/mode (mode)
      + /etc/new (2.0 KiB)
      ~ /etc/text (-10 B)
    ");
}

#[test]
fn equal_releases_differ_in_nothing() {
    let one = view("a", &[("curl", "1")], &[("x", file(0o644, 1, "a"))]);
    assert!(compare(&one, &one).is_empty());
    assert_eq!(shown(&one, &one, true), "a -> a (x86_64)\n\nNothing differs.\n");
}

#[test]
fn many_files_are_told_by_folder_unless_every_path_is_asked_for() {
    let modules = |version: &str| -> Vec<(String, FileFacts)> {
        (0..30)
            .map(|n| {
                (
                    format!("usr/lib/modules/{version}/kernel/fs/m{n}.ko"),
                    file(0o644, 1024, version),
                )
            })
            .collect()
    };
    let view = |version: &str| {
        let files = modules(version);
        let files: Vec<(&str, FileFacts)> = files
            .iter()
            .map(|(path, facts)| (path.as_str(), facts.clone()))
            .collect();
        view(version, &[], &files)
    };
    insta::assert_snapshot!(shown(&view("1"), &view("2"), false), @r"
    1 -> 2 (x86_64)

    Files: 30 added (30.0 KiB), 30 removed (30.0 KiB), 0 changed (same size)
      /usr/lib/modules/1 -30 (-30.0 KiB)
      /usr/lib/modules/2 +30 (+30.0 KiB)
      --files tells every path.
    ");
    let every = shown(&view("1"), &view("2"), true);
    assert_eq!(
        every.lines().filter(|line| line.contains("/kernel/fs/m")).count(),
        60
    );
}

#[test]
fn aspects_of_a_change_are_told_apart() {
    let folder = FileFacts {
        metadata: Metadata::root(0o755),
        kind: FileKind::Directory,
    };
    let mut owned = file(0o644, 1, "a");
    owned.metadata.gid = 5;
    owned
        .metadata
        .xattrs
        .insert("security.capability".to_owned(), vec![1]);
    let plain = file(0o644, 1, "a");
    let aspects = |old: &FileFacts, new: &FileFacts| {
        let diff = compare(
            &view("a", &[], &[("x", old.clone())]),
            &view("b", &[], &[("x", new.clone())]),
        );
        diff.files.unwrap().changed.remove(0).what
    };
    assert_eq!(aspects(&plain, &owned), [Aspect::Owner, Aspect::Attributes]);
    assert_eq!(aspects(&plain, &folder), [Aspect::Kind, Aspect::Mode]);
    assert_eq!(aspects(&plain, &file(0o644, 1, "b")), [Aspect::Content]);
}

#[test]
fn the_order_of_kernel_options_counts() {
    let one = view("a", &[], &[]);
    let mut other = one.clone();
    other.command_line.as_mut().unwrap().reverse();
    let diff = compare(&one, &other);
    assert!(diff.options_reordered && diff.options_added.is_empty() && !diff.is_empty());
}

#[test]
fn the_root_hash_is_no_option_to_compare() {
    assert_eq!(image::options("roothash=00ff ro quiet\0"), ["ro", "quiet"]);
}
