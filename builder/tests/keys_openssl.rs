//! Private keys, read and made by a program that nobody here wrote.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{fs, path::Path, process::Command};

use outcrop_builder::keys::{KeySource, PrivateKey, read};
use zeroize::Zeroizing;

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output();
    let output = output.expect("install the package openssl");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// The public key in OpenSSL's words: colons and blanks between hexadecimal digits.
fn public_by_openssl(key: &Path, passphrase: &str) -> String {
    let pass = format!("pass:{passphrase}");
    let text = openssl(&[
        "pkey",
        "-noout",
        "-text_pub",
        "-passin",
        &pass,
        "-in",
        key.to_str().unwrap(),
    ]);
    assert!(text.starts_with("ED25519 Public-Key:"), "{text}");
    let (_, digits) = text.split_once("pub:").unwrap();
    digits.chars().filter(char::is_ascii_hexdigit).collect()
}

#[test]
fn openssl_opens_our_private_keys_with_and_without_a_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("release.key");
    let key = PrivateKey::generate().unwrap();
    let secret = Zeroizing::new("a b\u{e4}".to_owned());
    for passphrase in [None, Some(&secret)] {
        fs::write(&path, key.to_pem(passphrase).unwrap().as_bytes()).unwrap();
        let digits = public_by_openssl(&path, &secret);
        assert_eq!(format!("ed25519:{digits}"), key.public().unwrap().to_string());
    }
}

#[test]
fn we_open_private_keys_of_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openssl.key");
    let text = path.to_str().unwrap();
    for encryption in [&[][..], &["-aes-256-cbc", "-pass", "pass:secret"]] {
        openssl(&[&["genpkey", "-algorithm", "ed25519", "-out", text], encryption].concat());
        let ask = |_: &str| Some(Zeroizing::new("secret".to_owned()));
        let key = read(&KeySource::File(path.clone()), &ask).unwrap();
        let digits = public_by_openssl(&path, "secret");
        assert_eq!(format!("ed25519:{digits}"), key.public().unwrap().to_string());
    }
}
