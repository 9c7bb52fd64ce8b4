//! The device's own key: made when it is needed first, kept on the data partition, sealed with the device's TPM where it has one.
//!
//! `/var/lib/outcrop/device.key`, for root only: `ed25519-private:` and the 32 bytes of RFC 8032, section 5.1.5, in hexadecimal digits; or
//! `tpm2-sealed:`, the public key, and what only that TPM makes the private one of ([`form`]). A key in the first form is sealed as soon
//! as it is asked for where there is a TPM. Whoever is root on the device can be the device: the key tells devices apart, it doesn't protect
//! one from its own root. Sealed, it doesn't work on another machine either.

pub mod form;
#[cfg(test)]
mod tests;

use std::{
    cell::OnceCell,
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use ed25519_dalek::{Signer as _, SigningKey};
use outcrop_release::{
    device_id::DeviceId,
    trust::{KeyError, PublicKey},
};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::{
    durable::{self, DurableError},
    lock_file::{Held, hold},
    tpm::{SEED_BYTES, Tpm, TpmError, seal, unseal},
};
use form::{FormError, KeyFile, SealedKey, plain_text};

const FILE_NAME: &str = "device.key";
/// A sealed key that isn't proven yet.
const UNPROVEN: &str = "device.sealed";
/// Held while a key is made or sealed.
const LOCK: &str = "device.lock";

/// The device's key.
pub struct DeviceKey {
    public: PublicKey,
    kept: Kept,
}

enum Kept {
    File {
        key: SigningKey,
        /// Why it isn't sealed, though there is a TPM.
        trouble: Option<NotSealed>,
    },
    Tpm {
        path: PathBuf,
        sealed: Box<SealedKey>,
        tpm: Box<dyn Tpm>,
        /// Once something was signed.
        key: OnceCell<SigningKey>,
    },
}

/// The key lies in its file as it is, though there is a TPM. It works all the same.
#[derive(Debug, thiserror::Error)]
#[error("the device's key can't be sealed with its TPM, and lies in {} as it is", path.display())]
pub struct NotSealed {
    /// The file.
    path: PathBuf,
    /// Why.
    source: SealingError,
}

/// Why a key can't be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The TPM.
    #[error(transparent)]
    Tpm(#[from] TpmError),
    /// What it has sealed can't be kept.
    #[error(transparent)]
    Key(#[from] Box<DeviceKeyError>),
}

/// How the private half is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptIn {
    /// As it is, in the file.
    File,
    /// Sealed with a TPM.
    Tpm,
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
        source: FormError,
    },
    /// The key's public half is none.
    #[error("the public half of the device's key")]
    Public(#[from] KeyError),
    /// The TPM that has sealed it isn't there, or doesn't unseal it.
    #[error(
        "{} can't be unsealed: it works with the TPM that sealed it only; where that is gone or was cleared, remove the file, and the device gets a new key, and with it another name",
        path.display()
    )]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TpmError,
    },
    /// The kernel has no random numbers.
    #[error("make a key for this device")]
    Random(#[source] io::Error),
}

impl DeviceKey {
    /// The key in Outcrop's folder `state`; a new one when there is none. When this returns, it survives a power cut. A sealed one isn't
    /// unsealed before something is signed.
    ///
    /// # Errors
    /// See [`DeviceKeyError`]. A damaged key is never replaced unasked: the device would be another one from then on. That a key can't be
    /// sealed is no error: see [`DeviceKey::trouble`].
    pub fn of(state: &Path, tpm: impl Tpm + 'static) -> Result<Self, DeviceKeyError> {
        let path = state.join(FILE_NAME);
        let file = match read(&path)? {
            Some(file) => file,
            None => make(state, &path, &tpm)?,
        };
        let (key, trouble) = match file {
            KeyFile::Sealed(sealed) => return Ok(Self::sealed(sealed, path, tpm)),
            KeyFile::Plain(key) => match seal_in_place(state, &path, &key, &tpm) {
                Ok(Some(sealed)) => return Ok(Self::sealed(sealed, path, tpm)),
                Ok(None) => (key, None),
                Err(source) => (key, Some(NotSealed { path, source })),
            },
        };
        Ok(Self {
            public: public_half(&key)?,
            kept: Kept::File { key, trouble },
        })
    }

    fn sealed(sealed: SealedKey, path: PathBuf, tpm: impl Tpm + 'static) -> Self {
        Self {
            public: sealed.public,
            kept: Kept::Tpm {
                path,
                sealed: Box::new(sealed),
                tpm: Box::new(tpm),
                key: OnceCell::new(),
            },
        }
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

    /// How it is kept.
    #[must_use]
    pub const fn kept_in(&self) -> KeptIn {
        match self.kept {
            Kept::File { .. } => KeptIn::File,
            Kept::Tpm { .. } => KeptIn::Tpm,
        }
    }

    /// Why it isn't sealed, though the device has a TPM.
    #[must_use]
    pub const fn trouble(&self) -> Option<&NotSealed> {
        match &self.kept {
            Kept::File { trouble, .. } => trouble.as_ref(),
            Kept::Tpm { .. } => None,
        }
    }

    /// Signs bytes that say themselves what they are.
    ///
    /// # Errors
    /// [`DeviceKeyError::Sealed`] when the TPM doesn't unseal the key.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], DeviceKeyError> {
        Ok(self.private()?.sign(message).to_bytes())
    }

    fn private(&self) -> Result<&SigningKey, DeviceKeyError> {
        match &self.kept {
            Kept::File { key, .. } => Ok(key),
            Kept::Tpm {
                path,
                sealed,
                tpm,
                key,
            } => {
                if let Some(key) = key.get() {
                    return Ok(key);
                }
                let unsealed = unsealed(sealed, tpm.as_ref()).map_err(|source| DeviceKeyError::Sealed {
                    path: path.clone(),
                    source,
                })?;
                Ok(key.get_or_init(|| unsealed))
            }
        }
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey")
            .field("public", &self.public)
            .field("kept", &self.kept_in())
            .finish()
    }
}

/// Looks at the key in Outcrop's folder `state`, and makes none: how it is kept, and why it can't be used now; nothing where there is none.
///
/// # Errors
/// When it can't be read, or is damaged.
pub fn look(state: &Path, tpm: &dyn Tpm) -> Result<Option<(KeptIn, Option<DeviceKeyError>)>, DeviceKeyError> {
    let path = state.join(FILE_NAME);
    Ok(read(&path)?.map(|file| match file {
        KeyFile::Plain(_) => (KeptIn::File, None),
        KeyFile::Sealed(sealed) => {
            let trouble = unsealed(&sealed, tpm).err();
            let told = trouble.map(|source| DeviceKeyError::Sealed { path, source });
            (KeptIn::Tpm, told)
        }
    }))
}

/// Makes a key. Where it can be sealed, it never lies on the medium as it is.
fn make(state: &Path, path: &Path, tpm: &dyn Tpm) -> Result<KeyFile, DeviceKeyError> {
    let _only_one = lock(state)?;
    // Whoever comes second finds what the first one made.
    if let Some(file) = read(path)? {
        return Ok(file);
    }
    let key = SigningKey::from_bytes(&random_seed()?);
    if !matches!(seal_into(path, &key, tpm), Ok(Some(_))) {
        // Why it can't be sealed is found out again, and told.
        durable::replace_private(path, plain_text(&key.to_bytes()).as_bytes())?;
    }
    // What is on the medium counts.
    read(path)?.ok_or_else(|| damaged(path, FormError::Unknown))
}

/// Seals a key that lies in its file as it is: the sealed one; nothing where there is no TPM.
fn seal_in_place(
    state: &Path,
    path: &Path,
    key: &SigningKey,
    tpm: &dyn Tpm,
) -> Result<Option<SealedKey>, SealingError> {
    if matches!(tpm.open(), Ok(None)) {
        return Ok(None);
    }
    let _only_one = lock(state).map_err(|error| Box::new(error.into()))?;
    match read(path).map_err(Box::new)? {
        Some(KeyFile::Plain(there)) if there == *key => seal_into(path, key, tpm),
        Some(KeyFile::Sealed(sealed)) => Ok(Some(sealed)),
        // Somebody takes it away at this moment: it is his.
        _ => Ok(None),
    }
}

/// Seals `key` into the file `path`; nothing where there is no TPM. The sealed form is on the medium, and was read from there and unsealed,
/// before it takes the place of whatever is there.
fn seal_into(path: &Path, key: &SigningKey, tpm: &dyn Tpm) -> Result<Option<SealedKey>, SealingError> {
    let Some(mut transport) = tpm.open().map_err(TpmError::Open)? else {
        return Ok(None);
    };
    let sealed = SealedKey {
        public: public_half(key).map_err(|error| Box::new(error.into()))?,
        seed: seal(transport.as_mut(), &key.to_bytes())?,
    };
    let unproven = path.with_file_name(UNPROVEN);
    let kept = |result: Result<(), DurableError>| result.map_err(|error| Box::new(error.into()));
    kept(durable::replace_private(&unproven, sealed.to_text().as_bytes()))?;
    match read(&unproven).map_err(Box::new)? {
        Some(KeyFile::Sealed(there)) if unsealed(&there, tpm)? == *key => {
            kept(durable::rename(&unproven, path))?;
            Ok(Some(there))
        }
        _ => Err(TpmError::OtherSecret.into()),
    }
}

/// Has `tpm` unseal a key, which must be that of the public half.
fn unsealed(sealed: &SealedKey, tpm: &dyn Tpm) -> Result<SigningKey, TpmError> {
    let mut transport = tpm.open().map_err(TpmError::Open)?.ok_or(TpmError::Missing)?;
    let key = SigningKey::from_bytes(&unseal(transport.as_mut(), &sealed.seed)?);
    match key.verifying_key().as_bytes() == sealed.public.as_bytes() {
        true => Ok(key),
        false => Err(TpmError::OtherSecret),
    }
}

fn public_half(key: &SigningKey) -> Result<PublicKey, KeyError> {
    PublicKey::from_bytes(key.verifying_key().as_bytes())
}

fn read(path: &Path) -> Result<Option<KeyFile>, DeviceKeyError> {
    let Some(bytes) = durable::read(path)? else {
        return Ok(None);
    };
    let file = KeyFile::parse(&bytes).map_err(|source| damaged(path, source))?;
    Ok(Some(file))
}

fn damaged(path: &Path, source: FormError) -> DeviceKeyError {
    DeviceKeyError::Damaged {
        path: path.to_owned(),
        source,
    }
}

fn lock(state: &Path) -> Result<Option<File>, DurableError> {
    let path = state.join(LOCK);
    fs::create_dir_all(state).map_err(|source| DurableError {
        doing: "make the folder of",
        path: path.clone(),
        source,
    })?;
    hold(&path, Held::Wait)
}

fn random_seed() -> Result<[u8; SEED_BYTES], DeviceKeyError> {
    let mut seed = [0; SEED_BYTES];
    let mut filled = 0;
    while let Some(room) = seed.get_mut(filled..).filter(|room| !room.is_empty()) {
        filled +=
            getrandom(room, GetRandomFlags::empty()).map_err(|error| DeviceKeyError::Random(error.into()))?;
    }
    Ok(seed)
}
