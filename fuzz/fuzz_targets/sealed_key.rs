//! Reads bytes as a device's key file, and as what a TPM answers while a key is sealed and unsealed: each answer behind its length, two bytes.

#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use outcrop_updater::{
    device_key::form::KeyFile,
    tpm::{SealedSeed, Transport, seal, unseal},
};

struct Answers<'a>(&'a [u8]);

impl Transport for Answers<'_> {
    fn exchange(&mut self, _: &[u8]) -> io::Result<Vec<u8>> {
        let (length, rest) = self.0.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (answer, rest) = rest.split_at(length);
        self.0 = rest;
        Ok(answer.to_vec())
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(KeyFile::Sealed(key)) = KeyFile::parse(bytes) {
        let again = KeyFile::parse(key.to_text().as_bytes());
        assert!(matches!(again, Ok(KeyFile::Sealed(again)) if again == key));
    }
    if let Ok(sealed) = seal(&mut Answers(bytes), &[7; 32]) {
        assert!(SealedSeed::from_areas(sealed.private().to_vec(), sealed.public().to_vec()).is_some());
    }
    if let Some(sealed) = SealedSeed::from_areas(vec![1], vec![2]) {
        // Either way is fine.
        let _ = unseal(&mut Answers(bytes), &sealed);
    }
});
