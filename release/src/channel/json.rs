//! A channel's JSON form: one line, which is what is signed.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::{
    Channel, LabelSelector, MAX_OFFERS, MAX_WITHDRAWN, Offer, Waves, Withdrawn, accept::MAX_CHANNEL_BYTES,
};
use crate::{
    device_config::node_label,
    manifest::{ManifestError, RollbackIndex, json},
    name::ReleaseName,
};

const FORMAT: u32 = 1;
/// Longest reason, in bytes.
pub(super) const MAX_REASON_BYTES: usize = 500;

/// Bytes that are no channel that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// More than [`MAX_CHANNEL_BYTES`].
    #[error("a channel has at most {MAX_CHANNEL_BYTES} bytes, here are {0}")]
    TooLong(usize),
    /// It isn't JSON, or a field is missing, unknown, or of another type.
    #[error("read the channel")]
    Json(#[source] serde_json::Error),
    /// A newer Outcrop made it.
    #[error("the channel has format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// A field's text means nothing.
    #[error("a release that the channel names")]
    Release(#[source] ManifestError),
    /// A field's text means nothing.
    #[error("the channel's {field} is {value:?}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its text.
        value: String,
    },
    /// The waves of a release.
    #[error("the waves of {release}")]
    Waves {
        /// Which one.
        release: Box<ReleaseName>,
        /// What is wrong with them.
        source: super::BadWaves,
    },
    /// A number of open waves that there are not.
    #[error("{open} of the {waves} waves of {release} are open, it says")]
    Open {
        /// Which one.
        release: Box<ReleaseName>,
        /// How many are open.
        open: usize,
        /// How many there are.
        waves: usize,
    },
    /// A release is there twice, or offered and withdrawn.
    #[error("the channel has {0} twice")]
    Twice(Box<ReleaseName>),
    /// More than a channel has.
    #[error("the channel has {count} {what}, more than {most}")]
    Many {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// It expires before it was made.
    #[error("the channel was issued at {issued} and expires at {expires}")]
    Times {
        /// When it was made.
        issued: Timestamp,
        /// When it stops to count.
        expires: Timestamp,
    },
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Json {
    format: u32,
    channel: String,
    serial: u64,
    issued: Timestamp,
    expires: Timestamp,
    offers: Vec<JsonOffer>,
    withdrawn: Vec<JsonWithdrawn>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct JsonOffer {
    name: String,
    version: Version,
    architecture: String,
    board: String,
    manifest: String,
    bytes: u64,
    rollback_index: u32,
    waves: String,
    open: usize,
    paused: bool,
    hold_back: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct JsonWithdrawn {
    name: String,
    version: Version,
    architecture: String,
    board: String,
    manifest: String,
    reason: String,
}

impl Channel {
    /// The list as it is signed: JSON on one line, without a line break.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = Json {
            format: FORMAT,
            channel: self.name.to_string(),
            serial: self.serial,
            issued: self.issued,
            expires: self.expires,
            offers: self.offers.iter().map(offer_json).collect(),
            withdrawn: self.withdrawn.iter().map(withdrawn_json).collect(),
        };
        // Texts and numbers: nothing here can fail to be JSON.
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Reads a list. That says nothing about who made it.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ChannelError> {
        if bytes.len() > MAX_CHANNEL_BYTES {
            return Err(ChannelError::TooLong(bytes.len()));
        }
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(ChannelError::Json)?;
        if format != FORMAT {
            return Err(ChannelError::Format(format));
        }
        let json: Json = serde_json::from_slice(bytes).map_err(ChannelError::Json)?;
        few("offers", json.offers.len(), MAX_OFFERS)?;
        few("withdrawn releases", json.withdrawn.len(), MAX_WITHDRAWN)?;
        let channel = Self {
            name: text("channel", &json.channel)?,
            serial: json.serial,
            issued: json.issued,
            expires: json.expires,
            offers: json.offers.into_iter().map(offer).collect::<Result<_, _>>()?,
            withdrawn: json
                .withdrawn
                .into_iter()
                .map(withdrawn)
                .collect::<Result<_, _>>()?,
        };
        channel.check()?;
        Ok(channel)
    }

    fn check(&self) -> Result<(), ChannelError> {
        if self.serial == 0 {
            return Err(ChannelError::Value {
                field: "serial",
                value: "0".to_owned(),
            });
        }
        if self.expires <= self.issued {
            return Err(ChannelError::Times {
                issued: self.issued,
                expires: self.expires,
            });
        }
        let withdrawn = self
            .withdrawn
            .iter()
            .map(|withdrawn| (&withdrawn.release, withdrawn.manifest));
        let offered = self.offers.iter().map(|offer| (&offer.release, offer.manifest));
        let all: Vec<_> = offered.chain(withdrawn).collect();
        for (place, (release, manifest)) in all.iter().enumerate() {
            let is_same = |(other, digest): &(&ReleaseName, _)| other == release || digest == manifest;
            if all.iter().take(place).any(is_same) {
                return Err(ChannelError::Twice(Box::new((*release).clone())));
            }
        }
        Ok(())
    }
}

fn few(what: &'static str, count: usize, most: usize) -> Result<(), ChannelError> {
    if count <= most {
        return Ok(());
    }
    Err(ChannelError::Many { what, count, most })
}

fn text<T: FromStr>(field: &'static str, value: &str) -> Result<T, ChannelError> {
    value.parse().map_err(|_| ChannelError::Value {
        field,
        value: value.to_owned(),
    })
}

fn offer_json(offer: &Offer) -> JsonOffer {
    let release = &offer.release;
    JsonOffer {
        name: release.image.to_string(),
        version: release.version.clone(),
        architecture: release.architecture.to_string(),
        board: release.board.to_string(),
        manifest: offer.manifest.to_string(),
        bytes: offer.bytes,
        rollback_index: offer.rollback_index.0,
        waves: offer.waves.to_string(),
        open: offer.open,
        paused: offer.paused,
        hold_back: offer.hold_back.iter().map(ToString::to_string).collect(),
    }
}

fn offer(json: JsonOffer) -> Result<Offer, ChannelError> {
    let release = json::release(&json.name, json.version, &json.architecture, &json.board);
    let release = release.map_err(ChannelError::Release)?;
    let waves: Waves = json.waves.parse().map_err(|source| ChannelError::Waves {
        release: Box::new(release.clone()),
        source,
    })?;
    if !(1..=waves.shares().len()).contains(&json.open) {
        return Err(ChannelError::Open {
            release: Box::new(release),
            open: json.open,
            waves: waves.shares().len(),
        });
    }
    let labels = json.hold_back.iter().map(|label| text("hold-back", label));
    Ok(Offer {
        release,
        manifest: text("manifest", &json.manifest)?,
        bytes: json.bytes,
        rollback_index: RollbackIndex(json.rollback_index),
        waves,
        open: json.open,
        paused: json.paused,
        hold_back: labels.collect::<Result<_, _>>()?,
    })
}

fn withdrawn_json(withdrawn: &Withdrawn) -> JsonWithdrawn {
    let release = &withdrawn.release;
    JsonWithdrawn {
        name: release.image.to_string(),
        version: release.version.clone(),
        architecture: release.architecture.to_string(),
        board: release.board.to_string(),
        manifest: withdrawn.manifest.to_string(),
        reason: withdrawn.reason.clone(),
    }
}

/// Whether a list may have that text as a reason.
pub(super) fn is_reason(text: &str) -> bool {
    text.len() <= MAX_REASON_BYTES && !text.chars().any(char::is_control)
}

fn withdrawn(json: JsonWithdrawn) -> Result<Withdrawn, ChannelError> {
    let release = json::release(&json.name, json.version, &json.architecture, &json.board);
    if !is_reason(&json.reason) {
        return Err(ChannelError::Value {
            field: "reason",
            value: json.reason.chars().take(80).collect(),
        });
    }
    Ok(Withdrawn {
        release: release.map_err(ChannelError::Release)?,
        manifest: text("manifest", &json.manifest)?,
        reason: json.reason,
    })
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

impl FromStr for LabelSelector {
    type Err = String;

    /// Labels are what `device.toml` takes for ones.
    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        node_label(&format!("{key}={}", value.unwrap_or_default()))?;
        Ok(Self {
            key: key.to_owned(),
            value: value.map(str::to_owned),
        })
    }
}
