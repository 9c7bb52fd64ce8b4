//! The default recipe against the real archive, through the machine's own mirror: every script of its packages, on both
//! architectures, is recognised or reviewed, and locking twice gives the same bytes.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use outcrop_builder::lock::{
    format::{Role, Verdict},
    text,
};
use outcrop_release::arch::Architecture;

fn lock(recipe: &Path) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_outcrop"))
        .arg("lock")
        .arg(recipe)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::read(text::path_for(recipe)).unwrap()
}

#[test]
#[ignore = "depends on what Debian published today: `cargo xtask soak` runs it"]
fn the_default_recipes_can_be_locked_today_without_a_script_that_nobody_has_read() {
    let recipes = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let folder = tempfile::tempdir().unwrap();
    for name in ["edge.toml", "edge-dev.toml"] {
        fs::copy(recipes.join(name), folder.path().join(name)).unwrap();
    }
    let recipe = folder.path().join("edge-dev.toml");
    let first = lock(&recipe);
    let locked = text::parse(&first).unwrap();
    assert_eq!(locked.suites.len(), 3);
    for arch in Architecture::ALL {
        let packages = &locked.packages[&arch];
        for needed in [
            "systemd",
            "openssh-server",
            "nftables",
            "containerd",
            "python3-minimal",
            "bash",
        ] {
            assert!(
                packages.iter().any(|package| package.name == needed),
                "{needed} for {arch}"
            );
        }
        assert!(
            !packages.iter().any(|package| package.name == "initramfs-tools"),
            "Outcrop makes the initramfs"
        );
        assert!(packages.iter().any(|package| package.role == Role::Boot));
        let scripts = packages.iter().flat_map(|package| &package.scripts);
        assert!(scripts.clone().count() > 60);
        assert!(scripts.clone().all(|script| script.verdict != Verdict::Accepted));
    }
    assert_eq!(lock(&recipe), first);
}

/// It uses the user's cache: apt's lists of a whole archive, which a new cache would have to fetch, say what exists.
#[test]
fn an_unknown_package_leaves_no_lock_and_is_shown_where_the_recipe_says_it() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("x.toml");
    let text = "[image]\nname = \"x\"\nversion = \"1.0.0\"\n[base]\nsuite = \"trixie\"\n[packages]\ninstall = [\"htpo\"]\n";
    fs::write(&recipe, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_outcrop"))
        .arg("lock")
        .arg(&recipe)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.contains("htpo") && told.contains("htop") && told.contains("x.toml:7"),
        "{told}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the recipe");
}
