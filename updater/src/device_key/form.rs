//! The key's file, as text.

use ed25519_dalek::SigningKey;
use outcrop_release::trust::{KeyError, PublicKey};

use crate::tpm::{SEED_BYTES, SealedSeed};

const PLAIN: &str = "ed25519-private:";
const SEALED: &str = "tpm2-sealed:";

/// What the file holds.
#[derive(Debug)]
pub enum KeyFile {
    /// The key itself.
    Plain(SigningKey),
    /// The key, sealed with a TPM.
    Sealed(SealedKey),
}

/// A sealed key. Its public half can be read without the TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// The public half.
    pub public: PublicKey,
    /// The private one.
    pub seed: SealedSeed,
}

/// Bytes that are no key.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// Neither of the two forms.
    #[error("it begins neither with {PLAIN} nor with {SEALED}")]
    Unknown,
    /// Digits are missing, or no digits.
    #[error("{0} isn't written in hexadecimal digits, or has another length")]
    Digits(&'static str),
    /// The public half.
    #[error("the public key")]
    Public(#[source] KeyError),
}

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// See [`FormError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        let text = std::str::from_utf8(bytes).map_err(|_| FormError::Unknown)?;
        let text = text.trim_end();
        if let Some(digits) = text.strip_prefix(PLAIN) {
            let mut seed = [0; SEED_BYTES];
            hex::decode_to_slice(digits, &mut seed).map_err(|_| FormError::Digits("the private key"))?;
            return Ok(Self::Plain(SigningKey::from_bytes(&seed)));
        }
        let sealed = text.strip_prefix(SEALED).ok_or(FormError::Unknown)?;
        SealedKey::parse(sealed).map(Self::Sealed)
    }
}

impl SealedKey {
    /// `ed25519:` and the public key, then both areas, each in hexadecimal digits, with colons between them.
    fn parse(text: &str) -> Result<Self, FormError> {
        let mut parts = text.rsplitn(3, ':');
        let mut area = |name| {
            let digits = parts.next().unwrap_or_default();
            hex::decode(digits).map_err(|_| FormError::Digits(name))
        };
        let (public, private) = (area("the public area")?, area("the private area")?);
        let seed = SealedSeed::from_areas(private, public).ok_or(FormError::Digits("the sealed key"))?;
        let public = parts.next().unwrap_or_default();
        Ok(Self {
            public: public.parse().map_err(FormError::Public)?,
            seed,
        })
    }

    /// As it is written to the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{SEALED}{}:{}:{}\n",
            self.public,
            hex::encode(self.seed.private()),
            hex::encode(self.seed.public())
        )
    }
}

/// A key that isn't sealed, as it is written to the file.
#[must_use]
pub fn plain_text(seed: &[u8; SEED_BYTES]) -> String {
    format!("{PLAIN}{}\n", hex::encode(seed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn public() -> PublicKey {
        PublicKey::from_bytes(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes()).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            private in proptest::collection::vec(any::<u8>(), 1..=1024),
            area in proptest::collection::vec(any::<u8>(), 1..=1024),
        ) {
            let seed = SealedSeed::from_areas(private, area).unwrap();
            let key = SealedKey { public: public(), seed };
            match KeyFile::parse(key.to_text().as_bytes()).unwrap() {
                KeyFile::Sealed(read) => prop_assert_eq!(read, key),
                KeyFile::Plain(_) => panic!("it is sealed"),
            }
        }

        #[test]
        fn anything_else_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), is_sealed: bool) {
            let text = if is_sealed { SEALED } else { "" };
            prop_assert!(KeyFile::parse(&[text.as_bytes(), &bytes].concat()).is_err());
        }
    }

    #[test]
    fn an_area_that_is_missing_empty_or_endless_is_named() {
        let public = public();
        let endless = "00".repeat(1025);
        for (text, told) in [
            (format!("{SEALED}{public}"), "private area"),
            (format!("{SEALED}{public}:00:x"), "public area"),
            (format!("{SEALED}{public}:00"), "public key"),
            (format!("{SEALED}{public}::00"), "sealed key"),
            (format!("{SEALED}{public}:{endless}:00"), "sealed key"),
            (format!("{SEALED}{public}:0:00"), "private area"),
            (format!("{SEALED}00:00"), "public key"),
            (format!("{PLAIN}00"), "private key"),
            ("x".to_owned(), "neither"),
        ] {
            let error = KeyFile::parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(told), "{text}: {error}");
        }
    }
}
