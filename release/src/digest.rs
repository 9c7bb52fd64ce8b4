//! SHA-256 digests, each kind with its own type, so that one can't be taken for another.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
};

use sha2::{Digest as _, Sha256};

/// What is read and hashed at a time.
const READ_BYTES: usize = 256 * 1024;

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The text has another length than 64, or a character that is no hexadecimal digit.
    #[error("a SHA-256 digest is 64 hexadecimal digits, not {0:?}")]
    Form(String),
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Text form: 64 lower-case hexadecimal digits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the 32 bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes of the digest.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The SHA-256 of `bytes`.
            #[must_use]
            pub fn of(bytes: &[u8]) -> Self {
                Self(Sha256::digest(bytes).into())
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError::Form(text.to_owned()))?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

digest_type! {
    /// SHA-256 of a whole file: a package, an output file, a member of a bundle.
    FileDigest
}
/// Makes the digest of a file whose bytes come by in pieces.
#[derive(Debug, Clone, Default)]
pub struct FileHasher(Sha256);

impl FileHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(self) -> FileDigest {
        FileDigest::from_bytes(self.0.finalize().into())
    }
}

impl FileDigest {
    /// The SHA-256 of everything that `reader` gives.
    ///
    /// # Errors
    /// The reader's own.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let mut piece = vec![0; READ_BYTES];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(Self(hash.finalize().into())),
                Ok(count) => hash.update(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

digest_type! {
    /// Top hash of a dm-verity tree (salted): what the kernel command line and the manifest name.
    RootHash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = FileDigest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn a_reader_s_digest_is_that_of_its_bytes_however_they_come() {
        let bytes = vec![7; 2 * READ_BYTES + 1];
        let odd = bytes
            .chunks(1000)
            .fold(Box::new(io::empty()) as Box<dyn Read>, |before, piece| {
                Box::new(before.chain(piece))
            });
        assert_eq!(FileDigest::of_reader(odd).unwrap(), FileDigest::of(&bytes));
    }

    #[test]
    fn a_text_of_another_length_or_alphabet_is_refused() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
            assert_eq!(text.parse::<RootHash>(), Err(DigestError::Form(text.to_owned())));
        }
    }
}
