use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{
    device_id::DeviceId,
    signed,
    trust::{PublicKey, Purpose, Role, Signature, Signatures, Trust, signed_message},
};

mod offers;

const RELEASE_KEY: u8 = 1;
const CHANNEL_KEY: u8 = 2;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(key(seed).verifying_key().as_bytes()).unwrap()
}

fn trust() -> Trust {
    let role = |seed| Role::new(1, vec![("channel".to_owned(), public(seed))]).unwrap();
    Trust::new(1, vec![("release".to_owned(), public(RELEASE_KEY))])
        .unwrap()
        .with_channel(role(CHANNEL_KEY))
        .unwrap()
}

fn sign_as(purpose: Purpose, document: &[u8], seed: u8) -> Vec<u8> {
    sign_with(purpose, document, &[seed])
}

fn sign_with(purpose: Purpose, document: &[u8], seeds: &[u8]) -> Vec<u8> {
    let mut signatures = Signatures::default();
    for seed in seeds {
        let bytes = key(*seed).sign(&signed_message(purpose, document)).to_bytes();
        let key = public(*seed);
        signatures.add(Signature { key, bytes }).unwrap();
    }
    signed::join(document, &signatures)
}

fn sign(channel: &Channel) -> Vec<u8> {
    sign_as(Purpose::Channel, &channel.to_bytes(), CHANNEL_KEY)
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-11-30T12:00:00Z")
}

fn lifetime() -> Lifetime {
    Lifetime {
        issued: now(),
        counts_for: SignedDuration::from_hours(24 * 30),
    }
}

fn release(version: &str) -> ReleaseName {
    ReleaseName {
        image: "edge".parse().unwrap(),
        version: version.parse().unwrap(),
        architecture: "x86_64".parse().unwrap(),
        board: "efi".parse().unwrap(),
    }
}

fn publication(version: &str, waves: &str) -> Publication {
    Publication {
        release: release(version),
        manifest: FileDigest::of(version.as_bytes()),
        bytes: 1000,
        rollback_index: RollbackIndex(3),
        waves: waves.parse().unwrap(),
        hold_back: Vec::new(),
    }
}

fn stable() -> ChannelName {
    "stable".parse().unwrap()
}

fn channel() -> Channel {
    let first = Channel::new(stable(), lifetime()).unwrap();
    first
        .publish(vec![publication("1.1.0", "1%,10%,100%")], lifetime())
        .unwrap()
}

fn accepted_at(bytes: &[u8], seen: Option<Seen>, now: Timestamp) -> Result<Accepted, ChannelRefusal> {
    let admission = Admission {
        trust: &trust(),
        name: &stable(),
        seen,
        now,
        built: time("2026-11-01T00:00:00Z"),
    };
    accept(bytes, &admission)
}

fn accepted(channel: &Channel) -> Accepted {
    accepted_at(&sign(channel), None, now()).unwrap()
}

fn refused(bytes: &[u8], seen: Option<Seen>, now: Timestamp) -> ChannelRefusal {
    let refusal = accepted_at(bytes, seen, now).unwrap_err();
    assert!(!refusal.help().is_empty());
    refusal
}

/// A device whose place is in the share of `waves` that is called, of 1.0.0.
fn device_in(share: &str, not_in: Option<&str>) -> DeviceId {
    let share: Share = share.parse().unwrap();
    let not_in: Option<Share> = not_in.map(|text| text.parse().unwrap());
    let devices = (0..=255_u8).flat_map(|a| (0..=255_u8).map(move |b| [a, b]));
    let mut devices =
        devices.map(|[a, b]| DeviceId::from_bytes([a, b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    devices
        .find(|device| {
            let position = Position::of(&"edge".parse().unwrap(), device);
            position.is_in(share) && not_in.is_none_or(|share| !position.is_in(share))
        })
        .unwrap()
}

fn decided(list: &Accepted, device: DeviceId, labels: &[(&str, &str)], failed: &[FileDigest]) -> String {
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let running = release("1.0.0");
    let subscriber = Subscriber {
        device,
        labels: &labels,
        running: &running,
        manifest: None,
        failed,
    };
    match decide(list, &subscriber) {
        Decision::UpToDate => "up to date".to_owned(),
        Decision::Install(offer) => format!("install {}", offer.release.version),
        Decision::Later { offer, .. } => format!("later {}", offer.release.version),
        Decision::Paused(offer) => format!("paused {}", offer.release.version),
        Decision::HeldBack { offer, label } => format!("{label} holds {}", offer.release.version),
        Decision::Failed(offer) => format!("failed {}", offer.release.version),
    }
}

#[test]
fn a_list_that_a_channel_key_signed_is_accepted_and_comes_out_as_it_went_in() {
    let list = accepted(&channel());
    assert_eq!(list.channel(), &channel());
    assert_eq!(
        (list.seen().serial, list.signers()),
        (2, &["channel".to_owned()][..])
    );
}

// The attacks that The Update Framework names: specification 1.0.33, section 1.5.2.
#[test]
fn arbitrary_software_a_list_that_nobody_trusted_has_signed_is_refused() {
    let document = channel().to_bytes();
    for bytes in [
        sign_as(Purpose::Channel, &document, 9),
        signed::join(&document, &Signatures::default()),
    ] {
        assert!(matches!(
            refused(&bytes, None, now()),
            ChannelRefusal::Untrusted(_)
        ));
    }
    let mut changed = sign(&channel());
    let place = changed.iter().position(|byte| *byte == b'3').unwrap();
    changed[place] = b'4';
    assert!(matches!(
        refused(&changed, None, now()),
        ChannelRefusal::Untrusted(_)
    ));
}

#[test]
fn a_key_of_another_role_or_a_signature_for_something_else_makes_no_channel() {
    let document = channel().to_bytes();
    for bytes in [
        sign_as(Purpose::Channel, &document, RELEASE_KEY),
        sign_as(Purpose::Release, &document, CHANNEL_KEY),
    ] {
        assert!(matches!(
            refused(&bytes, None, now()),
            ChannelRefusal::Untrusted(_)
        ));
    }
    let both = Role::new(1, vec![("x".to_owned(), public(RELEASE_KEY))]).unwrap();
    assert!(trust().with_channel(both).is_err(), "one key for both roles");
}

#[test]
fn rollback_a_list_older_than_one_that_was_seen_is_refused_and_the_same_again_is_not() {
    let (old, new) = (channel(), channel().refreshed(lifetime()).unwrap());
    let seen = accepted(&new).seen();
    let refusal = refused(&sign(&old), Some(seen), now());
    assert!(
        matches!(refusal, ChannelRefusal::Replayed { seen: 3, found: 2 }),
        "{refusal}"
    );
    assert!(accepted_at(&sign(&new), Some(seen), now()).is_ok());
}

#[test]
fn two_lists_of_one_serial_are_refused() {
    let (one, other) = (channel(), channel().pause("1.1.0", lifetime()).unwrap());
    let other = Channel { serial: 2, ..other };
    let refusal = refused(&sign(&other), Some(accepted(&one).seen()), now());
    assert!(matches!(refusal, ChannelRefusal::Forked(2)));
}

#[test]
fn freeze_a_list_that_has_expired_is_refused_however_often_it_is_given_out() {
    let bytes = sign(&channel());
    let seen = accepted(&channel()).seen();
    assert!(accepted_at(&bytes, Some(seen), time("2026-12-30T11:59:59Z")).is_ok());
    let refusal = refused(&bytes, Some(seen), time("2026-12-30T12:00:00Z"));
    assert!(matches!(refusal, ChannelRefusal::Expired { .. }));
}

#[test]
fn a_clock_before_what_runs_was_made_or_a_day_before_the_list_was_refuses_it() {
    let bytes = sign(&channel());
    assert!(matches!(
        refused(&bytes, None, time("1970-01-01T00:00:10Z")),
        ChannelRefusal::Clock { .. }
    ));
    assert!(matches!(
        refused(&bytes, None, time("2026-11-29T11:59:59Z")),
        ChannelRefusal::Future { .. }
    ));
    assert!(accepted_at(&bytes, None, time("2026-11-29T12:00:00Z")).is_ok());
}

#[test]
fn endless_data_and_what_is_no_channel_are_refused() {
    assert!(matches!(
        refused(&vec![b'{'; MAX_CHANNEL_BYTES + 1], None, now()),
        ChannelRefusal::TooLong
    ));
    for page in ["", "<html><body>Please log in</body></html>"] {
        assert!(matches!(
            refused(page.as_bytes(), None, now()),
            ChannelRefusal::NotSigned(_)
        ));
    }
    let page = b"<html>\n<body>Please log in</body></html>\n";
    assert!(matches!(refused(page, None, now()), ChannelRefusal::Untrusted(_)));
}

#[test]
fn wrong_software_the_list_of_another_channel_is_refused() {
    let beta = Channel {
        name: "beta".parse().unwrap(),
        ..channel()
    };
    assert!(matches!(
        refused(&sign(&beta), None, now()),
        ChannelRefusal::Name { .. }
    ));
}

#[test]
fn without_channel_keys_no_channel_is_followed() {
    let trust = Trust::new(1, vec![("release".to_owned(), public(RELEASE_KEY))]).unwrap();
    let admission = Admission {
        trust: &trust,
        name: &stable(),
        seen: None,
        now: now(),
        built: now(),
    };
    assert!(matches!(
        accept(&sign(&channel()), &admission),
        Err(ChannelRefusal::NoKeys)
    ));
}

#[test]
fn one_stolen_key_of_two_that_are_wanted_makes_no_list() {
    const OTHER_KEY: u8 = 3;
    let keys = vec![
        ("a".to_owned(), public(CHANNEL_KEY)),
        ("b".to_owned(), public(OTHER_KEY)),
    ];
    let trust = Trust::new(1, vec![("release".to_owned(), public(RELEASE_KEY))])
        .unwrap()
        .with_channel(Role::new(2, keys).unwrap())
        .unwrap();
    let admission = Admission {
        trust: &trust,
        name: &stable(),
        seen: None,
        now: now(),
        built: now(),
    };
    let document = channel().to_bytes();
    let signed = |seeds: &[u8]| sign_with(Purpose::Channel, &document, seeds);
    for seeds in [&[CHANNEL_KEY][..], &[OTHER_KEY], &[CHANNEL_KEY, RELEASE_KEY]] {
        let refused = accept(&signed(seeds), &admission);
        assert!(
            matches!(refused, Err(ChannelRefusal::Untrusted(_))),
            "{refused:?}"
        );
    }
    assert!(accept(&signed(&[CHANNEL_KEY, OTHER_KEY]), &admission).is_ok());
}

#[test]
fn signed_lists_that_make_no_sense_are_refused() {
    let good = String::from_utf8(channel().to_bytes()).unwrap();
    let twice = {
        let offer = good
            .split_once("\"offers\":[")
            .unwrap()
            .1
            .split_once("],\"withdrawn\"")
            .unwrap()
            .0
            .to_owned();
        good.replace(&offer, &format!("{offer},{offer}"))
    };
    for (what, bad) in [
        ("unknown waves", good.replace("1%,10%,100%", "canary,rest")),
        ("waves that shrink", good.replace("1%,10%,100%", "10%,1%,100%")),
        ("no open wave", good.replace("\"open\":1", "\"open\":0")),
        (
            "more open waves than there are",
            good.replace("\"open\":1", "\"open\":4"),
        ),
        ("no serial", good.replace("\"serial\":2", "\"serial\":0")),
        (
            "a name that leads elsewhere",
            good.replace("\"edge\"", "\"../edge\""),
        ),
        (
            "an unknown field",
            good.replace("\"paused\"", "\"x\":1,\"paused\""),
        ),
        ("a newer format", good.replace("\"format\":1", "\"format\":2")),
        (
            "a label that is none",
            good.replace("\"hold-back\":[]", "\"hold-back\":[\"a b\"]"),
        ),
        ("an offer twice", twice),
        (
            "an end before its beginning",
            good.replace("2026-12-30", "2026-11-30"),
        ),
    ] {
        assert_ne!(bad, good, "{what}");
        let bytes = sign_as(Purpose::Channel, bad.as_bytes(), CHANNEL_KEY);
        assert!(
            matches!(refused(&bytes, None, now()), ChannelRefusal::Channel(_)),
            "{what}"
        );
    }
}
