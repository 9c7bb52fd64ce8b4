//! Reads bytes as a manifest, as signatures and as a trust file. What can be read survives being written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::{
    manifest::{ImageManifest, Manifest},
    trust::{Signatures, Trust},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert_eq!(
            Manifest::parse(&manifest.to_bytes()).expect("it was written"),
            manifest
        );
    }
    if let Ok(manifest) = ImageManifest::parse(bytes) {
        assert_eq!(
            ImageManifest::parse(&manifest.to_bytes()).expect("it was written"),
            manifest
        );
    }
    if let Ok(signatures) = Signatures::parse(bytes) {
        assert_eq!(
            Signatures::parse(&signatures.to_bytes()).expect("it was written"),
            signatures
        );
    }
    if let Ok(trust) = std::str::from_utf8(bytes)
        .map_err(drop)
        .and_then(|text| Trust::parse(text).map_err(drop))
    {
        assert_eq!(Trust::parse(&trust.to_toml()).expect("it was written"), trust);
    }
});
