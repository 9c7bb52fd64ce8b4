//! Reads bytes as a program with a signature for Secure Boot, as a certificate, and as an update of a firmware's keys.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_builder::secure_boot::{Certificate, certificates_of, digest, read_signature};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(signer)) = read_signature(bytes) {
        // A signature that holds is of a program that has a digest.
        assert!(digest(bytes).is_ok());
        let _ = signer.subject();
    }
    let _ = certificates_of(bytes);
    if let Ok(certificate) = Certificate::from_der(bytes, "fuzz") {
        assert_eq!(certificate.der(), bytes);
        let _ = certificate.subject();
    }
});
