//! SHA-256 of what is large: packages, objects, images.
//!
//! `ring` (here for HTTPS anyway) has the assembly that OpenSSL has, which hashes 1.4 GB/s (`openssl speed sha256`) on a processor with
//! SHA instructions; the `sha2` crate needed 3.0 s for the 2.7 GB of an image, which is 0.9 GB/s. The digest of a whole image, holes
//! included, is the longest thing in a build that can't be spread over processors.

use std::fmt;

use ring::digest::{Context, SHA256};

/// A hash on its way.
#[derive(Clone)]
pub struct Sha256(Box<Context>);

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

impl Sha256 {
    /// Nothing is hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::new(Context::new(&SHA256)))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes.as_ref());
    }

    /// The hash of all of them.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        bytes
    }

    /// The hash of `bytes`.
    #[must_use]
    pub fn digest(bytes: impl AsRef<[u8]>) -> [u8; 32] {
        let mut hash = Self::new();
        hash.update(bytes);
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard_s_example_however_the_bytes_come() {
        // Source: FIPS 180-4's example for "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(Sha256::digest("abc")), expected);
        let mut hash = Sha256::default();
        for byte in b"abc" {
            hash.update([*byte]);
        }
        assert_eq!(hex::encode(hash.finish()), expected);
    }
}
