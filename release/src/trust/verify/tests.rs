use ed25519_dalek::{Signer as _, SigningKey};

use super::*;
use crate::{manifest::tests::manifest, trust::signature::Signature};

/// A key pair made from a number.
fn pair(number: u8) -> (SigningKey, PublicKey) {
    let secret = SigningKey::from_bytes(&[number; 32]);
    let public = PublicKey::from_bytes(secret.verifying_key().as_bytes()).unwrap();
    (secret, public)
}

fn sign(number: u8, message: &[u8]) -> Signature {
    let (secret, key) = pair(number);
    Signature {
        key,
        bytes: secret.sign(message).to_bytes(),
    }
}

fn signed_by(numbers: &[u8], manifest: &[u8]) -> Vec<u8> {
    let mut signatures = Signatures::default();
    for number in numbers {
        signatures
            .add(sign(*number, &signed_message(Purpose::Release, manifest)))
            .unwrap();
    }
    signatures.to_bytes()
}

fn trust(threshold: usize, numbers: &[u8]) -> Trust {
    let keys = numbers
        .iter()
        .map(|number| (format!("key {number}"), pair(*number).1));
    Trust::new(threshold, keys.collect()).unwrap()
}

#[test]
fn a_release_that_enough_trusted_keys_have_signed_is_verified() {
    let bytes = manifest().to_bytes();
    let release = verify(&bytes, &signed_by(&[1, 9, 3], &bytes), &trust(2, &[1, 2, 3])).unwrap();
    assert_eq!(release.manifest(), &manifest());
    assert_eq!(release.signers(), ["key 1", "key 3"]);
    assert_eq!(release.digest(), FileDigest::of(&bytes));
}

#[test]
fn too_few_trusted_signatures_are_refused_and_strangers_do_not_count() {
    let bytes = manifest().to_bytes();
    for (signers, told) in [
        (
            &[][..],
            "the release has none of the 2 trusted signatures that this device demands",
        ),
        (
            &[1, 8, 9],
            "the release has one of the 2 trusted signatures that this device demands; 2 keys that it doesn't know have signed",
        ),
    ] {
        let error = verify(&bytes, &signed_by(signers, &bytes), &trust(2, &[1, 2])).unwrap_err();
        assert_eq!(error.to_string(), told);
    }
}

#[test]
fn a_manifest_changed_after_signing_is_refused_before_it_is_read() {
    let bytes = manifest().to_bytes();
    let signatures = signed_by(&[1], &bytes);
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let error = verify(&changed, &signatures, &trust(1, &[1])).unwrap_err();
        assert!(matches!(error, Untrusted::Mismatch { .. }), "{error:?}");
    }
    let longer = [&bytes[..], b" "].concat();
    assert!(verify(&longer, &signatures, &trust(1, &[1])).is_err());
}

#[test]
fn a_signature_over_the_bare_bytes_is_none_of_a_release() {
    let bytes = manifest().to_bytes();
    let mut signatures = Signatures::default();
    signatures.add(sign(1, &bytes)).unwrap();
    let error = verify(&bytes, &signatures.to_bytes(), &trust(1, &[1])).unwrap_err();
    assert!(matches!(error, Untrusted::Mismatch { .. }), "{error:?}");
}

#[test]
fn a_signature_in_its_other_form_is_refused() {
    // S + L stands for the same equation; only strict checking tells. Source: RFC 8032, section 5.1.7.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let bytes = manifest().to_bytes();
    let mut signature = sign(1, &signed_message(Purpose::Release, &bytes));
    let mut carry = 0_u16;
    for (place, add) in signature.bytes[32..].iter_mut().zip(L) {
        carry += u16::from(*place) + u16::from(add);
        *place = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    let mut signatures = Signatures::default();
    signatures.add(signature).unwrap();
    assert!(verify(&bytes, &signatures.to_bytes(), &trust(1, &[1])).is_err());
}

#[test]
fn a_key_that_signs_twice_does_not_count_twice() {
    let bytes = manifest().to_bytes();
    let text = String::from_utf8(signed_by(&[1], &bytes)).unwrap();
    let (start, end) = (text.find("    {").unwrap(), text.find("\n  ]").unwrap());
    let twice = text.replace(
        &text[start..end],
        &[&text[start..end], &text[start..end]].join(",\n"),
    );
    let error = verify(&bytes, twice.as_bytes(), &trust(1, &[1])).unwrap_err();
    assert!(
        matches!(error, Untrusted::Signatures(SignatureError::Twice(_))),
        "{error:?}"
    );
}

#[test]
fn keys_are_rotated_by_a_new_trust_file() {
    let bytes = manifest().to_bytes();
    let holds = |signers: &[u8], trust: &Trust| verify(&bytes, &signed_by(signers, &bytes), trust).is_ok();
    // A release signed by the old key and the new one is taken by devices on both sides of the rotation.
    let (before, after) = (trust(1, &[1]), trust(1, &[2]));
    assert!(holds(&[1, 2], &before) && holds(&[1, 2], &after));
    // Afterwards the old key alone is worth nothing: removed, or known to be in other hands.
    assert!(!holds(&[1], &after) && holds(&[2], &after));
    // A raised threshold asks for both.
    let both = trust(2, &[1, 2]);
    assert!(!holds(&[1], &both) && !holds(&[2], &both) && holds(&[2, 1], &both));
}

#[test]
fn trust_that_would_be_none_or_can_t_be_met_is_refused_and_a_file_survives() {
    let keys = |numbers: &[u8]| {
        numbers
            .iter()
            .map(|n| (n.to_string(), pair(*n).1))
            .collect::<Vec<_>>()
    };
    for (threshold, numbers) in [(0, &[1][..]), (2, &[1]), (1, &[]), (1, &[1, 1])] {
        assert!(
            Trust::new(threshold, keys(numbers)).is_err(),
            "{threshold} of {numbers:?}"
        );
    }
    let whole = trust(2, &[1, 2, 3]);
    assert_eq!(Trust::parse(&whole.to_toml()).unwrap(), whole);
    for damaged in [
        "",
        "format = 2",
        "format = 1\nthreshold = 1",
        "format = 1\nthreshold = 1\nother = 1",
    ] {
        assert!(Trust::parse(damaged).is_err(), "{damaged}");
    }
}

#[test]
fn signatures_of_kinds_that_are_not_known_count_for_nothing_and_stay() {
    let bytes = manifest().to_bytes();
    let text = String::from_utf8(signed_by(&[9, 1], &bytes)).unwrap();
    let other = text.replacen("ed25519:", "newer-kind:", 1).into_bytes();
    assert_eq!(
        verify(&bytes, &other, &trust(1, &[1])).unwrap().signers(),
        ["key 1"]
    );
    let error = verify(&bytes, &other, &trust(2, &[1, 2])).unwrap_err();
    assert!(matches!(error, Untrusted::TooFew { unknown: 1, .. }), "{error:?}");
    let kept = Signatures::parse(&other).unwrap().to_bytes();
    assert!(String::from_utf8(kept).unwrap().contains("newer-kind:"));
}

#[test]
fn signature_files_that_are_damaged_are_refused() {
    let text = String::from_utf8(signed_by(&[1], b"x")).unwrap();
    for (from, to) in [
        ("\"format\": 1", "\"format\": 2"),
        ("\"signature\": \"", "\"signature\": \"0"),
        ("\"key\"", "\"keys\""),
        ("]", ""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert!(Signatures::parse(changed.as_bytes()).is_err(), "{from} -> {to}");
    }
    let long = vec![b' '; super::super::signature::MAX_SIGNATURES_BYTES + 1];
    assert!(matches!(
        Signatures::parse(&long),
        Err(SignatureError::TooLong(_))
    ));
}

#[test]
fn a_signature_for_an_image_is_none_for_a_release_and_the_other_way_round() {
    let release = manifest();
    let image = ImageManifest {
        release: release.release.clone(),
        image: release.members.root,
        block_map: release.members.index,
    };
    let bytes = image.to_bytes();
    let mut signatures = Signatures::default();
    signatures
        .add(sign(1, &signed_message(Purpose::Image, &bytes)))
        .unwrap();
    let verified = verify_image(&bytes, &signatures.to_bytes(), &trust(1, &[1])).unwrap();
    assert_eq!(
        (verified.manifest(), verified.signers()),
        (&image, &["key 1".to_owned()][..])
    );
    for (bytes, signed_as_release) in [(&bytes, true), (&release.to_bytes(), false)] {
        let mut signatures = Signatures::default();
        let purpose = if signed_as_release {
            Purpose::Release
        } else {
            Purpose::Image
        };
        signatures.add(sign(1, &signed_message(purpose, bytes))).unwrap();
        let signatures = signatures.to_bytes();
        let refused = match signed_as_release {
            true => verify_image(bytes, &signatures, &trust(1, &[1])).map(drop),
            false => verify(bytes, &signatures, &trust(1, &[1])).map(drop),
        };
        assert!(matches!(refused, Err(Untrusted::Mismatch { .. })), "{refused:?}");
    }
}
