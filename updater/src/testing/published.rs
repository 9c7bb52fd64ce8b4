//! What is published for devices that are played.

use std::{collections::BTreeMap, fs, path::Path};

use ed25519_dalek::{Signer as _, SigningKey};
use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    channel::{Channel, Lifetime, Publication, RELEASES_FOLDER},
    digest::FileDigest,
    manifest::RollbackIndex,
    signed,
    trust::{PublicKey, Purpose, Role, Signature, Signatures, Trust, signed_message},
};

use super::bundle::{Bundle, trust};

const CHANNEL_KEY: [u8; 32] = [2; 32];

/// What is published: the same for all devices.
pub(crate) struct Published {
    /// Lists, each from its moment on.
    lists: Vec<(Timestamp, Vec<u8>)>,
    channel: Channel,
    /// By their versions.
    pub(crate) bundles: BTreeMap<String, Bundle>,
}

fn lifetime(issued: Timestamp) -> Lifetime {
    Lifetime {
        issued,
        counts_for: SignedDuration::from_hours(24 * 30),
    }
}

pub(crate) fn public(seed: [u8; 32]) -> PublicKey {
    PublicKey::from_bytes(SigningKey::from_bytes(&seed).verifying_key().as_bytes()).unwrap()
}

/// Whom devices trust.
pub(crate) fn trust_with_channel() -> Trust {
    let role = Role::new(1, vec![("channel".to_owned(), public(CHANNEL_KEY))]).unwrap();
    trust().with_channel(role).unwrap()
}

fn signed_list(channel: &Channel) -> Vec<u8> {
    let document = channel.to_bytes();
    let mut signatures = Signatures::default();
    let bytes = SigningKey::from_bytes(&CHANNEL_KEY)
        .sign(&signed_message(Purpose::Channel, &document))
        .to_bytes();
    let key = public(CHANNEL_KEY);
    signatures.add(Signature { key, bytes }).unwrap();
    signed::join(&document, &signatures)
}

impl Published {
    /// An empty channel.
    pub(crate) fn new(at: Timestamp) -> Self {
        let channel = Channel::new("stable".parse().unwrap(), lifetime(at)).unwrap();
        Self {
            lists: vec![(at, signed_list(&channel))],
            channel,
            bundles: BTreeMap::new(),
        }
    }

    /// Changes the list.
    pub(crate) fn change(&mut self, at: Timestamp, change: impl FnOnce(&Channel, Lifetime) -> Channel) {
        self.channel = change(&self.channel, lifetime(at));
        self.lists.push((at, signed_list(&self.channel)));
    }

    /// Offers a bundle.
    pub(crate) fn offer(&mut self, at: Timestamp, bundle: Bundle, waves: &str) {
        let manifest = bundle.manifest.to_bytes();
        let publication = Publication {
            release: bundle.manifest.release.clone(),
            manifest: FileDigest::of(&manifest),
            bytes: bundle.bytes.len() as u64,
            rollback_index: RollbackIndex(0),
            waves: waves.parse().unwrap(),
            hold_back: Vec::new(),
        };
        self.change(at, |channel, lifetime| {
            channel.publish(vec![publication], lifetime).unwrap()
        });
        self.bundles
            .insert(bundle.manifest.release.version.to_string(), bundle);
    }

    /// Lays the tree out in a folder, as it is at a moment: a stick.
    pub(crate) fn lay_out(&self, folder: &Path, at: Timestamp) {
        fs::create_dir_all(folder.join(RELEASES_FOLDER)).unwrap();
        fs::write(folder.join("stable.channel"), self.list(at)).unwrap();
        for bundle in self.bundles.values() {
            let name = format!("{}.outcrop", bundle.manifest.release);
            fs::write(folder.join(RELEASES_FOLDER).join(name), &bundle.bytes).unwrap();
        }
    }

    /// The list that counts at a moment; the first one for who thinks that it is earlier.
    pub(crate) fn list(&self, at: Timestamp) -> &[u8] {
        let since = self.lists.iter().rev().find(|(since, _)| *since <= at);
        &since.or(self.lists.first()).unwrap().1
    }
}
