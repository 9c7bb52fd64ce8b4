//! A publish tree for scenarios, signed by the key of the tests' channel.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness for tests, which fail by panicking"
)]

use std::{fs, os::unix, path::Path};

use outcrop_builder::{
    bundle::Bundle,
    keys::{KeySource, read, read_trust},
    progress::Silent,
    publish::{Selected, Signers, Tree, lifetime},
};
use outcrop_release::channel::{Channel, RELEASES_FOLDER};

use crate::update::releases;

/// Signs a list that offers the release of `bundle` to all, and lays it into `folder`, with a link to the bundle.
///
/// # Panics
/// When `cargo xtask test` hasn't built the release and its keys.
pub fn publish(folder: &Path, bundle: &Path) {
    let trust = read_trust(&releases().join("trust.toml")).unwrap();
    let source = KeySource::File(releases().join("channel.key"));
    let key = read(&source, &|_| panic!("it has no passphrase")).unwrap();
    let keys = [key];
    let signers = Signers::new(&keys, Some(&trust)).unwrap();
    let now = jiff::Timestamp::now();
    let lifetime = lifetime(now, jiff::SignedDuration::from_hours(24));
    let release = Selected {
        bundle: Bundle::open(bundle).unwrap(),
        deltas: Vec::new(),
    };
    let publication = release.publication(&"100%".parse().unwrap(), &[]);
    let channel = Channel::new("stable".parse().unwrap(), lifetime).unwrap();
    let channel = channel.publish(vec![publication], lifetime).unwrap();
    Tree::hold(folder, &Silent)
        .unwrap()
        .write(&channel, &signers)
        .unwrap();
    let releases = folder.join(RELEASES_FOLDER);
    fs::create_dir_all(&releases).unwrap();
    unix::fs::symlink(bundle, releases.join(bundle.file_name().unwrap())).unwrap();
}
