//! The certificates step, checked against OpenSSL's own program.

use std::{fs, path::Path, process::Command};

use super::*;
use crate::finish::testing;

fn openssl(arguments: &[&str], folder: &Path) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("run openssl (Debian package `openssl`)");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A self-signed authority with this subject, made by OpenSSL.
fn authority(folder: &Path, subject: &str) -> (String, u32) {
    let made = [
        "req", "-x509", "-newkey", "ed25519", "-nodes", "-utf8", "-keyout", "key.pem", "-out", "x.crt",
        "-subj", subject,
    ];
    openssl(&made, folder);
    let hash = openssl(&["x509", "-in", "x.crt", "-noout", "-subject_hash"], folder);
    (
        fs::read_to_string(folder.join("x.crt")).unwrap(),
        u32::from_str_radix(hash.trim(), 16).unwrap(),
    )
}

fn hash(pem: &str) -> u32 {
    name_hash::of(der::subject(&pem::pem(pem).unwrap()).unwrap()).unwrap()
}

#[test]
fn hashes_are_those_of_openssl_for_odd_names_too() {
    let folder = tempfile::tempdir().unwrap();
    for subject in [
        "/C=DE/O=Example  Authority /CN=Root  CA   1",
        "/O=Ünïcode Straße/CN=ROOT é",
        "/DC=org/DC=Example/CN=a+OU=b",
        "/emailAddress=CA@Example.ORG/CN=x",
        &format!("/O={}/CN={}", "Long ".repeat(12), "y".repeat(60)),
    ] {
        let (pem, expected) = authority(folder.path(), subject);
        assert_eq!(hash(&pem), expected, "{subject}");
    }
}

#[test]
fn bundle_and_links_are_those_of_openssl_rehash_and_equal_subjects_get_their_own_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (one, hash) = authority(folder.path(), "/CN=Same");
    let (two, _) = authority(folder.path(), "/CN=Same");
    let mut tree = testing::tree(&[
        ("usr/share/ca-certificates/mozilla/one.crt", &one),
        ("usr/local/share/ca-certificates/two.crt", &two),
    ]);
    run(&mut tree).unwrap();
    assert_eq!(
        testing::text(&tree, "etc/ssl/certs/ca-certificates.crt"),
        format!("{one}{two}")
    );
    assert_eq!(testing::text(&tree, &format!("etc/ssl/certs/{hash:08x}.0")), one);
    assert_eq!(testing::text(&tree, &format!("etc/ssl/certs/{hash:08x}.1")), two);
}

#[test]
fn of_equal_names_and_of_equal_certificates_one_is_linked() {
    let folder = tempfile::tempdir().unwrap();
    let (one, hash) = authority(folder.path(), "/CN=Same");
    let (two, _) = authority(folder.path(), "/CN=Same");
    let mut tree = testing::tree(&[
        ("usr/share/ca-certificates/mozilla/A (x).crt", &one),
        ("usr/local/share/ca-certificates/A (x).crt", &two),
        ("usr/local/share/ca-certificates/B.crt", &two),
    ]);
    run(&mut tree).unwrap();
    assert_eq!(testing::text(&tree, "etc/ssl/certs/A_=x=.pem"), two);
    assert_eq!(testing::text(&tree, &format!("etc/ssl/certs/{hash:08x}.0")), two);
    assert!(!tree.contains(&format!("etc/ssl/certs/{hash:08x}.1")));
}

#[test]
fn a_file_that_is_no_certificate_is_refused_by_its_path() {
    let text = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    for (text, message) in [
        (
            "hello",
            "/usr/share/ca-certificates/x.crt holds no PEM certificate",
        ),
        (
            text,
            "/usr/share/ca-certificates/x.crt is no X.509 certificate: an element is cut off",
        ),
    ] {
        let mut tree = testing::tree(&[("usr/share/ca-certificates/x.crt", text)]);
        assert_eq!(run(&mut tree).unwrap_err().to_string(), message);
    }
}
