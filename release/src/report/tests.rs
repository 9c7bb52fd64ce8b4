use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::{
    signed,
    trust::{Purpose, Signature, Signatures, signed_message},
};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn report(seed: u8) -> Report {
    Report {
        key: PublicKey::from_bytes(key(seed).verifying_key().as_bytes()).unwrap(),
        sequence: 7,
        at: "2026-11-30T12:00:00Z".parse().unwrap(),
        hostname: Some("reef-07".to_owned()),
        labels: BTreeMap::from([("site".to_owned(), "reef".to_owned())]),
        running: ReleaseName {
            image: "edge".parse().unwrap(),
            version: "1.1.0".parse().unwrap(),
            architecture: "x86_64".parse().unwrap(),
            board: "efi".parse().unwrap(),
        },
        manifest: FileDigest::of(b"manifest"),
        slot: "b".to_owned(),
        channel: Some(Followed {
            name: "stable".to_owned(),
            serial: 9,
        }),
        last: Some(LastUpdate {
            fate: Fate::Failed,
            version: "1.2.0".to_owned(),
            reason: Some(Reason::CheckFailed),
            detail: Some("the check ssh didn't hold".to_owned()),
        }),
        health: Health::Healthy,
        agent: Some(Standing {
            waits: Waits::Window,
            version: Some("1.3.0".to_owned()),
            reason: Some(Reason::Network),
            detail: Some("the web server answers 404".to_owned()),
        }),
        drift: Some(Drift {
            differences: 0,
            fingerprint: FileDigest::of(b"drift"),
        }),
        history: Some(Head {
            number: 12,
            digest: FileDigest::of(b"event"),
        }),
    }
}

fn sign(document: &[u8], seed: u8, purpose: Purpose) -> Vec<u8> {
    let mut signatures = Signatures::default();
    let bytes = key(seed).sign(&signed_message(purpose, document)).to_bytes();
    let key = PublicKey::from_bytes(key(seed).verifying_key().as_bytes()).unwrap();
    signatures.add(Signature { key, bytes }).unwrap();
    signed::join(document, &signatures)
}

#[test]
fn a_report_that_its_device_signed_comes_out_as_it_went_in() {
    let bytes = sign(&report(1).to_bytes(), 1, Purpose::Report);
    assert_eq!(*verify_report(&bytes).unwrap().report(), report(1));
    let little = Report {
        hostname: None,
        labels: BTreeMap::new(),
        channel: None,
        last: None,
        agent: None,
        drift: None,
        history: None,
        ..report(1)
    };
    assert_eq!(Report::parse(&little.to_bytes()).unwrap(), little);
}

#[test]
fn forged_reports_are_refused() {
    let document = report(1).to_bytes();
    let edited = String::from_utf8(document.clone())
        .unwrap()
        .replace("1.1.0", "1.2.0");
    let good = sign(&document, 1, Purpose::Report);
    let foot = good
        .split(|byte| *byte == b'\n')
        .skip(1)
        .collect::<Vec<_>>()
        .join(&b'\n');
    for bytes in [
        sign(&document, 2, Purpose::Report),
        sign(&document, 1, Purpose::Channel),
        [edited.as_bytes(), b"\n", &foot].concat(),
        signed::join(&document, &Signatures::default()),
    ] {
        assert!(matches!(verify_report(&bytes), Err(ReportError::Forged)));
    }
}

#[test]
fn what_is_no_report_or_makes_no_sense_is_told() {
    assert!(matches!(verify_report(b"{}"), Err(ReportError::NotSigned(_))));
    assert!(matches!(
        verify_report(&vec![b'x'; MAX_REPORT_BYTES + 1]),
        Err(ReportError::TooLong)
    ));
    let good = String::from_utf8(report(1).to_bytes()).unwrap();
    for bad in [
        good.replace("reef-07", &"x".repeat(1001)),
        good.replace("reef-07", "\\u001b[2J"),
        good.replace("\"site\"", "\"a\\nb\""),
        good.replace("ed25519:", "rsa:"),
        good.replace("\"format\":1", "\"format\":2"),
        good.replace("\"check-failed\"", "\"moon\""),
        good.replace("\"slot\"", "\"slat\""),
    ] {
        assert_ne!(bad, good);
        assert!(Report::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_device_s_name_and_file_come_from_its_key() {
    assert_eq!(
        report(1).file_name(),
        format!("{}.report", DeviceId::of(&report(1).key))
    );
    assert_ne!(report(1).device(), report(2).device());
    assert!(Reason::ALL.iter().all(|reason| !reason.as_str().is_empty()));
}

proptest! {
    #[test]
    fn any_bytes_are_a_report_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verify_report(&bytes).is_err());
    }
}
