//! The device's own key: made when it is needed first, kept on the data partition, never anywhere else.
//!
//! `/var/lib/outcrop/device.key`: `ed25519-private:` and the 32 bytes of RFC 8032, section 5.1.5, in hexadecimal digits; only root may read
//! it. Whoever is root on the device can be the device: the key tells devices apart, it doesn't protect one from its own root.

use std::{
    io,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use outcrop_release::{
    device_id::DeviceId,
    trust::{KeyError, PublicKey},
};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::durable::{self, DurableError};

const FILE_NAME: &str = "device.key";
const PREFIX: &str = "ed25519-private:";

/// The device's key.
pub struct DeviceKey {
    key: SigningKey,
    public: PublicKey,
}

/// The key can't be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceKeyError {
    /// It can't be read or written.
    #[error(transparent)]
    Io(#[from] DurableError),
    /// There is something else in its place.
    #[error(
        "{} is no key: remove it, and the device gets a new one, and with it another name", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The kernel has no random numbers.
    #[error("make a key for this device")]
    Random(#[source] io::Error),
}

impl DeviceKey {
    /// The key in Outcrop's folder `state`; a new one when there is none. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// See [`DeviceKeyError`]. A damaged key is never replaced unasked: the device would be another one from then on.
    pub fn of(state: &Path) -> Result<Self, DeviceKeyError> {
        let path = state.join(FILE_NAME);
        if let Some(bytes) = durable::read(&path)? {
            return Self::parse(&bytes).map_err(|source| DeviceKeyError::Damaged { path, source });
        }
        let mut seed = [0; 32];
        let mut filled = 0;
        while let Some(room) = seed.get_mut(filled..).filter(|room| !room.is_empty()) {
            filled += getrandom(room, GetRandomFlags::empty())
                .map_err(|error| DeviceKeyError::Random(error.into()))?;
        }
        let text = format!("{PREFIX}{}\n", hex::encode(seed));
        durable::replace_private(&path, text.as_bytes())?;
        // What is on the medium counts.
        let kept = durable::read(&path)?.unwrap_or_default();
        Self::parse(&kept).map_err(|source| DeviceKeyError::Damaged { path, source })
    }

    fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let bad = || KeyError("the device's private key".to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| bad())?;
        let digits = text.trim_end().strip_prefix(PREFIX).ok_or_else(bad)?;
        let mut seed = [0; 32];
        hex::decode_to_slice(digits, &mut seed).map_err(|_| bad())?;
        let key = SigningKey::from_bytes(&seed);
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes())?;
        Ok(Self { key, public })
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// What the device is called.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        DeviceId::of(&self.public)
    }

    /// Signs bytes that say themselves what they are.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        use ed25519_dalek::Signer as _;
        self.key.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_device_gets_one_key_that_only_its_owner_reads_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = DeviceKey::of(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join(FILE_NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = DeviceKey::of(folder.path()).unwrap();
        assert_eq!(
            (again.device(), again.sign(b"x")),
            (first.device(), first.sign(b"x"))
        );
        let other = tempfile::tempdir().unwrap();
        assert_ne!(DeviceKey::of(other.path()).unwrap().device(), first.device());
    }

    #[test]
    fn a_damaged_key_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        for bad in ["", "ed25519-private:00", "ed25519-private:zz", "x"] {
            fs::write(&path, bad).unwrap();
            assert!(
                matches!(DeviceKey::of(folder.path()), Err(DeviceKeyError::Damaged { .. })),
                "{bad}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
    }
}
