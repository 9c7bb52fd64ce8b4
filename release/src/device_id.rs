//! What a device is called by those who look after many.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::trust::PublicKey;

/// A device's name: the first 16 bytes of its public key's SHA-256, so that nobody else can prove to be it. Text form: 32 lower-case
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 16]);

/// A text that is no device's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device's name: that has 32 lower-case hexadecimal digits")]
pub struct BadDeviceId(pub String);

impl DeviceId {
    /// Takes the 16 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The name of the device that has this key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        let hash = Sha256::digest(key.as_bytes());
        Self(hash.first_chunk().copied().unwrap_or_default())
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

impl FromStr for DeviceId {
    type Err = BadDeviceId;

    fn from_str(text: &str) -> Result<Self, BadDeviceId> {
        let bad = || BadDeviceId(text.to_owned());
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| bad())?;
        // One device has one name: no second one in capitals.
        let device = Self(bytes);
        if device.to_string() == text {
            Ok(device)
        } else {
            Err(bad())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_text_and_has_only_one() {
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(text.parse::<DeviceId>().unwrap().to_string(), text);
        for text in ["", "00", "00112233445566778899AABBCCDDEEFF", &format!("{text}00")] {
            assert!(text.parse::<DeviceId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_has_one_name() {
        let key: PublicKey = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
            .parse()
            .unwrap();
        assert_eq!(DeviceId::of(&key).to_string(), "21fe31dfa154a261626bf854046fd227");
    }
}
