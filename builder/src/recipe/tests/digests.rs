//! What changes a recipe's digests.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use outcrop_release::digest::FileDigest;

use super::{
    super::{digest::build_digest, load},
    LEAST,
};

/// A folder with a recipe that names a file and an overlay.
fn project(folder: &Path, more: &str) -> FileDigest {
    fs::create_dir_all(folder.join("overlay/etc")).unwrap();
    for (name, text) in [("motd", "hello"), ("overlay/etc/issue", "welcome")] {
        if !folder.join(name).exists() {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let text = format!(
        "overlays = [\"overlay\"]\n{LEAST}{more}\n[[files]]\npath = \"/etc/motd\"\nsource = \"motd\"\n"
    );
    fs::write(folder.join("a.toml"), text).unwrap();
    let recipe = load(&folder.join("a.toml")).unwrap().recipe;
    build_digest(&recipe).unwrap()
}

#[test]
fn a_recipe_has_the_same_digests_in_every_folder_and_under_every_umask() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = project(first.path(), "");
    project(second.path(), "");
    fs::set_permissions(
        second.path().join("overlay/etc/issue"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    assert_eq!(project(second.path(), ""), expected);
}

#[test]
fn what_the_recipe_says_and_what_its_files_hold_changes_the_digest() {
    let folder = tempfile::tempdir().unwrap();
    let before = project(folder.path(), "");
    assert_ne!(project(folder.path(), "[packages]\ninstall = [\"htop\"]"), before);
    assert_ne!(
        project(folder.path(), "[kernel]\ncommand-line = [\"quiet\"]"),
        before
    );
    for (name, text) in [
        ("motd", "bye"),
        ("overlay/etc/issue", "go away"),
        ("overlay/new", ""),
    ] {
        let before = project(folder.path(), "");
        fs::write(folder.path().join(name), text).unwrap();
        assert_ne!(project(folder.path(), ""), before, "{name}");
    }
}

#[test]
fn a_file_that_went_away_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), "");
    let recipe = load(&folder.path().join("a.toml")).unwrap().recipe;
    fs::remove_file(folder.path().join("motd")).unwrap();
    assert!(build_digest(&recipe).unwrap_err().to_string().contains("/motd"));
}
