//! The trust file: which keys a device trusts, and how many of them a release, and a channel, needs.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::key::PublicKey;

const FORMAT: u32 = 1;

/// Whom a device trusts: for releases, and for the channels that offer them. No key does both: those of releases stay offline, those of
/// channels sign whenever a wave opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    release: Role,
    channel: Option<Role>,
}

/// Keys that sign one kind of thing, and how many of them must. At least one; never more than there are keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
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
    /// Who has a channel's key could make releases.
    #[error(
        "{0} is there for releases and for channels: each has keys of its own, and those of releases stay offline"
    )]
    BothRoles(PublicKey),
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel: Option<TomlRole>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlRole {
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

impl Role {
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

    fn to_keys(&self) -> Vec<TomlKey> {
        let key = |(name, key): &(String, PublicKey)| TomlKey {
            name: name.clone(),
            public: key.to_string(),
        };
        self.keys.iter().map(key).collect()
    }

    fn of(threshold: usize, keys: Vec<TomlKey>) -> Result<Self, TrustError> {
        let key = |TomlKey { name, public }: TomlKey| match public.parse() {
            Ok(key) => Ok((name, key)),
            Err(source) => Err(TrustError::Key { name, source }),
        };
        Self::new(threshold, keys.into_iter().map(key).collect::<Result<_, _>>()?)
    }
}

impl Trust {
    /// Trusts releases that `threshold` of `keys` (each with the name that people know it by) have signed, and no channels.
    ///
    /// # Errors
    /// As [`Role::new`].
    pub fn new(threshold: usize, keys: Vec<(String, PublicKey)>) -> Result<Self, TrustError> {
        Ok(Self {
            release: Role::new(threshold, keys)?,
            channel: None,
        })
    }

    /// Trusts channels, too.
    ///
    /// # Errors
    /// [`TrustError::BothRoles`].
    pub fn with_channel(self, channel: Role) -> Result<Self, TrustError> {
        let both = channel
            .keys
            .iter()
            .find(|(_, key)| self.release.name_of(key).is_some());
        match both {
            Some((_, key)) => Err(TrustError::BothRoles(*key)),
            None => Ok(Self {
                channel: Some(channel),
                ..self
            }),
        }
    }

    /// Who signs releases.
    #[must_use]
    pub const fn release(&self) -> &Role {
        &self.release
    }

    /// Who signs channels; none when the device follows none.
    #[must_use]
    pub const fn channel(&self) -> Option<&Role> {
        self.channel.as_ref()
    }

    /// The file as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let file = Toml {
            format: FORMAT,
            threshold: self.release.threshold(),
            keys: self.release.to_keys(),
            channel: self.channel.as_ref().map(|role| TomlRole {
                threshold: role.threshold(),
                keys: role.to_keys(),
            }),
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
        let trust = Self {
            release: Role::of(file.threshold, file.keys)?,
            channel: None,
        };
        match file.channel {
            Some(role) => trust.with_channel(Role::of(role.threshold, role.keys)?),
            None => Ok(trust),
        }
    }
}
