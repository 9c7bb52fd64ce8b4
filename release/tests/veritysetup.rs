//! The verity partition against `veritysetup`, which nobody here wrote (Debian package cryptsetup-bin).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use outcrop_release::verity::{HashTree, Salt, TreeBuilder};
use uuid::{Uuid, uuid};

const UUID: Uuid = uuid!("01234567-89ab-4cde-8f01-23456789abcd");
const SALT: Salt = Salt::from_bytes([0x5a; 32]);

fn veritysetup(args: &[&str], data: &Path, hash: &Path, root: Option<&str>) -> Output {
    Command::new("/usr/sbin/veritysetup")
        .args(args)
        .args([data, hash])
        .args(root)
        .output()
        .expect("veritysetup runs; it is in the Debian package cryptsetup-bin")
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("verity-{name}"))
}

/// Writes `blocks` blocks of data and their tree to files.
fn write(name: &str, blocks: u32) -> (PathBuf, PathBuf, HashTree) {
    let data: Vec<u8> = (0..blocks * 1024)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes())
        .collect();
    let mut builder = TreeBuilder::new(UUID, SALT);
    builder.push(&data);
    let tree = builder.finish().unwrap();
    let (data_path, hash_path) = (path(&format!("{name}.data")), path(&format!("{name}.hash")));
    fs::write(&data_path, data).unwrap();
    fs::write(&hash_path, tree.to_bytes()).unwrap();
    (data_path, hash_path, tree)
}

#[test]
fn veritysetup_writes_the_same_bytes() {
    for blocks in [2, 128, 129, 128 * 128 + 1] {
        let (data, ours, _) = write(&format!("same-{blocks}"), blocks);
        let theirs = path(&format!("theirs-{blocks}"));
        let (salt, uuid) = (format!("--salt={SALT}"), format!("--uuid={UUID}"));
        let _ = fs::remove_file(&theirs);
        let output = veritysetup(&["format", &salt, &uuid], &data, &theirs, None);
        assert!(output.status.success(), "{output:?}");
        assert!(
            fs::read(&ours).unwrap() == fs::read(&theirs).unwrap(),
            "{blocks} blocks"
        );
    }
}

#[test]
fn veritysetup_verifies_our_tree_and_sees_damage() {
    let (data, hash, tree) = write("verify", 300);
    let root = tree.root_hash().to_string();
    assert!(
        veritysetup(&["verify"], &data, &hash, Some(&root))
            .status
            .success()
    );
    let mut bytes = fs::read(&data).unwrap();
    bytes[1_000_000] ^= 1;
    fs::write(&data, bytes).unwrap();
    assert!(
        !veritysetup(&["verify"], &data, &hash, Some(&root))
            .status
            .success()
    );
}
