//! The trust file: which keys a device trusts, and how many of them a release needs.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::key::PublicKey;

const FORMAT: u32 = 1;

/// The keys of a device, and how many must have signed. At least one; never more than there are keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    threshold: NonZeroUsize,
    keys: Vec<(String, PublicKey)>,
}

/// A trust file, or a choice of keys, that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It isn't TOML, or a field is missing, unknown, or of another type.
    #[error("read the trust file")]
    Toml(#[source] toml::de::Error),
    /// A newer Outcrop made it.
    #[error("the trust file has format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// A key is damaged.
    #[error("the key {name:?} of the trust file can't be used")]
    Key {
        /// Its name.
        name: String,
        /// Why.
        source: super::key::KeyError,
    },
    /// One key under two names would count as two.
    #[error("{0} is in the trust file twice")]
    Twice(PublicKey),
    /// Nothing could ever be trusted, or anything would be.
    #[error("the threshold is {threshold}, with {keys} keys: it must be from 1 to the number of keys")]
    Threshold {
        /// What was asked for.
        threshold: usize,
        /// How many keys there are.
        keys: usize,
    },
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Toml {
    format: u32,
    threshold: usize,
    #[serde(default, rename = "key")]
    keys: Vec<TomlKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlKey {
    name: String,
    public: String,
}

impl Trust {
    /// Trusts `keys` (each with the name that people know it by) when `threshold` of them agree.
    ///
    /// # Errors
    /// [`TrustError::Twice`], [`TrustError::Threshold`].
    pub fn new(threshold: usize, keys: Vec<(String, PublicKey)>) -> Result<Self, TrustError> {
        for (place, (_, key)) in keys.iter().enumerate() {
            if keys.iter().take(place).any(|(_, earlier)| earlier == key) {
                return Err(TrustError::Twice(*key));
            }
        }
        match NonZeroUsize::new(threshold).filter(|number| number.get() <= keys.len()) {
            Some(threshold) => Ok(Self { threshold, keys }),
            None => Err(TrustError::Threshold {
                threshold,
                keys: keys.len(),
            }),
        }
    }

    /// How many keys must have signed.
    #[must_use]
    pub const fn threshold(&self) -> usize {
        self.threshold.get()
    }

    /// The name of a trusted key; none for any other.
    #[must_use]
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        let entry = self.keys.iter().find(|(_, trusted)| trusted == key);
        entry.map(|(name, _)| name.as_str())
    }

    /// The file as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let key = |(name, key): &(String, PublicKey)| TomlKey {
            name: name.clone(),
            public: key.to_string(),
        };
        let file = Toml {
            format: FORMAT,
            threshold: self.threshold.get(),
            keys: self.keys.iter().map(key).collect(),
        };
        // Texts and numbers: nothing here can fail to be TOML.
        toml::to_string(&file).unwrap_or_default()
    }

    /// Reads a trust file.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let FormatOnly { format } = toml::from_str(text).map_err(TrustError::Toml)?;
        if format != FORMAT {
            return Err(TrustError::Format(format));
        }
        let file: Toml = toml::from_str(text).map_err(TrustError::Toml)?;
        let key = |TomlKey { name, public }: TomlKey| match public.parse() {
            Ok(key) => Ok((name, key)),
            Err(source) => Err(TrustError::Key { name, source }),
        };
        let keys = file.keys.into_iter().map(key).collect::<Result<_, _>>()?;
        Self::new(file.threshold, keys)
    }
}
