//! What two packages may and may not do to each other.

use std::collections::BTreeMap;

use outcrop_release::digest::FileDigest;
use proptest::prelude::*;

use super::*;
use crate::{
    action::Action,
    deb::Control,
    tree::{Content, Entry, LinkGroup, Metadata, Node, Tree, TreePath},
};

/// A package for tests: `path` alone is a file that holds its own name, `path/` a folder, `path -> target` a link,
/// `path = text` a file with that text.
fn package(name: &str, fields: &str, entries: &[&str]) -> Arc<PackageTree> {
    let text = format!("Package: {name}\nVersion: 1.0\nArchitecture: all\n{fields}");
    let control = Control::from_files(BTreeMap::from([(
        "control".to_owned(),
        text.clone().into_bytes(),
    )]));
    let mut files = Tree::new();
    for line in entries {
        let (at, entry) = entry(line);
        files.insert_all(at, entry).unwrap();
    }
    Arc::new(PackageTree {
        digest: FileDigest::of(text.as_bytes()),
        control: control.unwrap(),
        files,
    })
}

fn entry(line: &str) -> (TreePath, Entry) {
    if let Some((at, target)) = line.split_once(" -> ") {
        (path(at), Entry::symlink(target))
    } else if let Some((at, text)) = line.split_once(" = ") {
        (path(at), Entry::file(0o644, text))
    } else if let Some(folder) = line.strip_suffix('/') {
        (path(folder), Entry::directory(0o755))
    } else {
        (path(line), Entry::file(0o644, line))
    }
}

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn with_mode(package: &Arc<PackageTree>, at: &str, mode: u16) -> Arc<PackageTree> {
    let mut package = PackageTree::clone(package);
    package.files.metadata_mut(at).unwrap().mode = mode;
    Arc::new(package)
}

fn lines(composed: &Composed) -> Vec<String> {
    let line = |(path, entry): (&TreePath, &Entry)| {
        let owners: Vec<_> = composed.owners.of(path.as_str()).collect();
        let what = match &entry.node {
            Node::Directory => "/".to_owned(),
            Node::Symlink(target) => format!(" -> {target}"),
            Node::File(content, group) => {
                let group = group.map(|group| format!(" #{}", group.0)).unwrap_or_default();
                format!(
                    " = {}{group}",
                    String::from_utf8(content.read().unwrap()).unwrap()
                )
            }
        };
        format!("{}{what} [{}]", path.as_str(), owners.join(" "))
    };
    composed
        .tree
        .iter()
        .map(line)
        .filter(|line| !line.starts_with("/ ["))
        .collect()
}

fn composed(packages: &[Arc<PackageTree>]) -> Vec<String> {
    lines(&compose(packages, &[]).unwrap())
}

fn refused(packages: &[Arc<PackageTree>]) -> ComposeError {
    let error = compose(packages, &[]).unwrap_err();
    let mut other_order = packages.to_vec();
    other_order.reverse();
    assert_eq!(compose(&other_order, &[]).unwrap_err(), error);
    error
}

#[test]
fn folders_merge_and_files_keep_their_owners() {
    let found = composed(&[
        package("b", "", &["usr/share/b"]),
        package("a", "", &["usr/share/a", "etc/"]),
    ]);
    assert_eq!(
        found,
        [
            "etc/ [a]",
            "usr/ [a b]",
            "usr/share/ [a b]",
            "usr/share/a = usr/share/a [a]",
            "usr/share/b = usr/share/b [b]"
        ]
    );
}

#[test]
fn equal_files_are_kept_once_and_owned_by_both() {
    let entries = &["x = same", "y -> same"];
    let found = composed(&[package("a", "", entries), package("b", "", entries)]);
    assert_eq!(found, ["x = same [a b]", "y -> same [a b]"]);
}

#[test]
fn different_files_are_refused_with_both_names_and_the_path() {
    let conflict = ComposeError::Conflict {
        path: path("x"),
        first: "a 1.0".to_owned(),
        second: "b 1.0".to_owned(),
    };
    let a = package("a", "", &["x = one"]);
    assert_eq!(refused(&[a.clone(), package("b", "", &["x = two"])]), conflict);
    assert_eq!(refused(&[a.clone(), package("b", "", &["x -> one"])]), conflict);
    let same_bytes = with_mode(&package("b", "", &["x = one"]), "x", 0o755);
    assert_eq!(refused(&[a, same_bytes]), conflict);
    assert_eq!(conflict.to_string(), "/x is in both a 1.0 and b 1.0, and differs");
}

#[test]
fn the_replacing_package_wins_in_any_order_when_the_version_fits() {
    let old = package("old", "", &["x = old", "y = old"]);
    let new = package("new", "Replaces: other, old (<< 2)\n", &["x = new"]);
    let expected = ["x = new [new]", "y = old [old]"];
    assert_eq!(composed(&[old.clone(), new.clone()]), expected);
    assert_eq!(composed(&[new, old.clone()]), expected);
    let unfit = package("new", "Replaces: old (<< 1.0)\n", &["x = new"]);
    assert!(matches!(refused(&[old, unfit]), ComposeError::Conflict { .. }));
}

#[test]
fn packages_that_replace_each_other_are_refused() {
    let a = package("a", "Replaces: b\n", &["x = a"]);
    let b = package("b", "Replaces: a\n", &["x = b"]);
    assert!(matches!(refused(&[a, b]), ComposeError::Conflict { .. }));
}

#[test]
fn a_diversion_moves_the_others_file_and_keeps_the_diverters() {
    let action = Action::Divert {
        path: "/bin/sh".to_owned(),
        to: "/bin/sh.distrib".to_owned(),
    };
    let diversions = Diversion::from_actions("dash", [&action]).unwrap();
    let dash = package("dash", "", &["usr/bin/sh = dash"]);
    let bash = package("bash", "", &["bin/sh = bash"]);
    let found = lines(&compose(&[dash, bash], &diversions).unwrap());
    assert_eq!(
        found,
        [
            "bin -> usr/bin []",
            "usr/ [dash]",
            "usr/bin/ [bash dash]",
            "usr/bin/sh = dash [dash]",
            "usr/bin/sh.distrib = bash [bash]"
        ]
    );
}

#[test]
fn two_diversions_of_one_path_and_malformed_ones_are_refused() {
    let action = |to: &str| Action::Divert {
        path: "/x".to_owned(),
        to: to.to_owned(),
    };
    let mut diversions = Diversion::from_actions("a", [&action("/y")]).unwrap();
    diversions.extend(Diversion::from_actions("b", [&action("/z")]).unwrap());
    let error = compose(&[], &diversions).unwrap_err();
    assert!(matches!(error, ComposeError::DivertedTwice { .. }));
    for to in ["y", "/../y", "/"] {
        let result = Diversion::from_actions("a", [&action(to)]);
        assert!(matches!(result, Err(ComposeError::DiversionPath { .. })), "{to}");
    }
}

#[test]
fn a_stray_top_level_folder_never_replaces_its_link_into_usr() {
    let base = package(
        "base-files",
        "",
        &["bin -> usr/bin", "lib -> usr/lib", "usr/bin/", "usr/lib/"],
    );
    let stray = package("stray", "", &["lib/modules/x", "lib64/"]);
    let found = composed(&[stray, base]);
    assert_eq!(
        found,
        [
            "bin -> usr/bin [base-files]",
            "lib -> usr/lib [base-files]",
            "lib64 -> usr/lib64 []",
            "usr/ [base-files]",
            "usr/bin/ [base-files]",
            "usr/lib/ [base-files stray]",
            "usr/lib/modules/ [stray]",
            "usr/lib/modules/x = lib/modules/x [stray]",
            "usr/lib64/ [stray]"
        ]
    );
}

#[test]
fn an_alias_that_is_a_file_or_leads_elsewhere_is_refused() {
    for entry in ["lib", "lib -> /etc", "sbin -> usr/bin", "bin -> ../usr/bin"] {
        let error = refused(&[package("a", "", &[entry])]);
        assert!(matches!(error, ComposeError::Alias { .. }), "{entry}");
    }
}

#[test]
fn a_package_that_ships_both_names_of_a_file_must_mean_the_same() {
    let same = package("a", "", &["lib/x = 1", "usr/lib/x = 1"]);
    assert!(composed(&[same]).contains(&"usr/lib/x = 1 [a]".to_owned()));
    let error = refused(&[package("a", "", &["lib/x = 1", "usr/lib/x = 2"])]);
    assert!(matches!(error, ComposeError::Conflict { .. }));
}

#[test]
fn a_link_never_makes_another_packages_file_land_elsewhere() {
    let hostile = package("hostile", "", &["usr/lib/foo -> /etc"]);
    let victim = package("victim", "", &["usr/lib/foo/passwd", "etc/"]);
    let error = refused(&[hostile, victim]);
    let expected = ComposeError::LinkAndFolder {
        path: path("usr/lib/foo"),
        target: "/etc".to_owned(),
        link: "hostile 1.0".to_owned(),
        folder: "victim 1.0".to_owned(),
    };
    assert_eq!(error, expected);
}

#[test]
fn a_link_stands_for_an_empty_folder_only_when_it_leads_to_a_folder() {
    let link = package("link", "", &["usr/doc -> share/doc", "usr/share/doc/"]);
    let folder = package("folder", "", &["usr/doc/"]);
    let found = composed(&[link, folder.clone()]);
    assert!(
        found.contains(&"usr/doc -> share/doc [link]".to_owned()),
        "{found:?}"
    );
    for target in ["nowhere", "doc", "share", "/../../../x"] {
        let link = package("link", "", &[&format!("usr/doc -> {target}"), "usr/share"]);
        let error = refused(&[link, folder.clone()]);
        assert!(matches!(error, ComposeError::LinkAndFolder { .. }), "{target}");
    }
}

#[test]
fn a_file_and_a_folder_at_one_path_are_refused() {
    let error = refused(&[package("a", "", &["x"]), package("b", "", &["x/y"])]);
    let expected = ComposeError::FileAndFolder {
        path: path("x"),
        file: "a 1.0".to_owned(),
        folder: "b 1.0".to_owned(),
    };
    assert_eq!(error, expected);
}

#[test]
fn special_folder_metadata_wins_over_plain_and_disputes_are_reported() {
    let mode = |composed: &Composed| composed.tree.get("tmp").unwrap().metadata.mode;
    let a = package("a", "", &["tmp/"]);
    let sticky = with_mode(&package("z", "", &["tmp/"]), "tmp", 0o1777);
    let found = compose(&[a, sticky.clone()], &[]).unwrap();
    assert_eq!((mode(&found), found.disputes.len()), (0o1777, 0));
    let strict = with_mode(&package("strict", "", &["tmp/"]), "tmp", 0o700);
    let found = compose(&[sticky.clone(), strict.clone()], &[]).unwrap();
    let dispute = FolderDispute {
        path: path("tmp"),
        kept: Metadata::root(0o700),
        decided_by: "strict".to_owned(),
        overruled: vec!["z".to_owned()],
    };
    assert_eq!(found.disputes, [dispute]);
    let base = with_mode(&package("base-files", "", &["tmp/"]), "tmp", 0o755);
    let layout = with_mode(&base, "tmp", 0o1755);
    let found = compose(&[sticky, strict, layout], &[]).unwrap();
    assert_eq!(mode(&found), 0o1755);
}

fn linked(name: &str, paths: [&str; 2], fields: &str) -> Arc<PackageTree> {
    let mut package = PackageTree::clone(&package(name, fields, &[]));
    for at in paths {
        let entry = Entry {
            metadata: Metadata::root(0o644),
            node: Node::File(Content::from(name), Some(LinkGroup(0))),
        };
        package.files.insert(path(at), entry).unwrap();
    }
    Arc::new(package)
}

#[test]
fn hard_links_of_different_packages_stay_apart_and_single_ones_dissolve() {
    let found = composed(&[linked("a", ["a1", "a2"], ""), linked("b", ["b1", "b2"], "")]);
    assert_eq!(
        found,
        ["a1 = a #0 [a]", "a2 = a #0 [a]", "b1 = b #1 [b]", "b2 = b #1 [b]"]
    );
    let found = composed(&[
        linked("a", ["x", "y"], ""),
        linked("b", ["x", "z"], "Replaces: a\n"),
    ]);
    assert_eq!(found, ["x = b #0 [b]", "y = a [a]", "z = b #0 [b]"]);
}

#[test]
fn a_malformed_replaces_field_is_refused() {
    let error = refused(&[package("a", "Replaces: b (>= )\n", &[])]);
    assert!(matches!(error, ComposeError::Relation { .. }));
}

proptest! {
    #[test]
    fn the_order_of_packages_never_matters(
        seeds in prop::collection::vec((0_u8..4, prop::collection::vec((0_u8..6, 0_u8..5), 0..6)), 1..5),
        shuffle in 0_usize..24,
    ) {
        let packages: Vec<_> = seeds.iter().enumerate().map(|(n, (replaces, entries))| {
            let mut files: BTreeMap<String, String> = BTreeMap::new();
            for (place, kind) in entries {
                let at = ["x", "usr/x", "lib/x", "usr/lib/x", "usr/y", "lib64/z"][usize::from(*place)];
                let line = match kind {
                    0 => format!("{at}/"),
                    1 => format!("{at} -> y"),
                    2 => format!("{at} = 1"),
                    3 => format!("{at} = 2"),
                    _ => format!("{at} -> ../usr/y"),
                };
                files.insert(at.to_owned(), line);
            }
            let files: Vec<&str> = files.values().map(String::as_str).collect();
            package(&format!("p{n}"), &format!("Replaces: p{replaces}\n"), &files)
        }).collect();
        let mut others = packages.clone();
        let len = others.len();
        others.rotate_left(shuffle % len);
        if shuffle % 2 == 1 {
            others.reverse();
        }
        let one = compose(&packages, &[]).map(|composed| (lines(&composed), composed.disputes));
        let other = compose(&others, &[]).map(|composed| (lines(&composed), composed.disputes));
        prop_assert_eq!(one, other);
    }
}
