//! Public keys.

use std::{fmt, str::FromStr};

use ed25519_dalek::VerifyingKey;

/// What a public key's text form starts with.
const PREFIX: &str = "ed25519:";

/// An Ed25519 public key that can verify: a point of the curve, and not one of the few weak ones under which anything seems
/// signed. Text form: `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text or bytes that are no usable public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no usable public key: one is `ed25519:` and 64 hexadecimal digits")]
pub struct KeyError(pub String);

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032, section 5.1.5.
    ///
    /// # Errors
    /// When they are no point of the curve, or a weak one.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak());
        key.map(Self)
            .ok_or_else(|| KeyError(format!("{PREFIX}{}", hex::encode(bytes))))
    }

    /// The 32 bytes of RFC 8032, section 5.1.5.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether `signature` is this key's over `message`, checked strictly.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError(text.to_owned());
        let digits = text.strip_prefix(PREFIX).ok_or_else(bad)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| bad())?;
        Self::from_bytes(&bytes).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_form() {
        let text = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(text.parse::<PublicKey>().unwrap().to_string(), text);
    }

    #[test]
    fn weak_keys_and_other_texts_are_refused() {
        // The neutral element, and a point of order 8: signatures under them hold for any message.
        let weak = [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        ];
        for digits in weak {
            assert!(
                format!("{PREFIX}{digits}").parse::<PublicKey>().is_err(),
                "{digits}"
            );
        }
        for text in ["", "ed25519:", "ed25519:00", "rsa:00", &"0".repeat(64)] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError(text.to_owned())));
        }
    }
}
