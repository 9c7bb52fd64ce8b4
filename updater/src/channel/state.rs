//! What the device remembers of a channel: the last list that it took, and which one that was.
//!
//! `/var/lib/outcrop/channels/NAME.json` and `NAME.channel` beside it. The list goes first, then what counts: a power cut between
//! them leaves an older serial, with which the list is taken again.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use outcrop_release::{
    channel::{ChannelName, Seen},
    digest::FileDigest,
};
use serde::{Deserialize, Serialize};

use crate::{
    durable::{self, DurableError},
    medium::Medium,
};

const FORMAT: u32 = 1;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The last list that was taken.
    pub seen: Seen,
    /// What names that version on its server, if anything does.
    pub tag: Option<String>,
    /// When it was taken.
    pub checked: Timestamp,
    /// Its bytes.
    pub list: Vec<u8>,
}

/// What is remembered can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It can't be read.
    #[error("read what is known of the channel {channel}")]
    Io {
        /// Which one.
        channel: ChannelName,
        /// Why.
        source: DurableError,
    },
    /// It is damaged.
    #[error("understand {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Json {
    format: u32,
    serial: u64,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    tag: Option<String>,
    checked: Timestamp,
}

impl Remembered {
    /// What is remembered of a channel in `folder`; nothing when it was never followed.
    ///
    /// # Errors
    /// When it is damaged: whoever removes it lets older lists count again.
    pub fn load(folder: &Path, channel: &ChannelName) -> Result<Option<Self>, StateError> {
        let path = path(folder, channel);
        let failed = |source| StateError::Io {
            channel: channel.clone(),
            source,
        };
        let Some(bytes) = durable::read(&path).map_err(failed)? else {
            return Ok(None);
        };
        let damaged = |why: String| StateError::Damaged {
            path: path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidData, why),
        };
        let json: Json = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if json.format != FORMAT {
            return Err(damaged(format!("it has format {}, not {FORMAT}", json.format)));
        }
        let digest: FileDigest = json
            .digest
            .parse()
            .map_err(|_| damaged("its digest is none".to_owned()))?;
        let list = durable::read(&folder.join(channel.file_name())).map_err(failed)?;
        Ok(Some(Self {
            seen: Seen {
                serial: json.serial,
                digest,
            },
            tag: json.tag,
            checked: json.checked,
            list: list.unwrap_or_default(),
        }))
    }

    /// Keeps it in `folder` on `medium`. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// When there is no room, or the file system fails: what was kept before counts then.
    pub fn save(
        &self,
        folder: &Path,
        channel: &ChannelName,
        medium: &dyn Medium,
    ) -> Result<(), DurableError> {
        let json = Json {
            format: FORMAT,
            serial: self.seen.serial,
            digest: self.seen.digest.to_string(),
            tag: self.tag.clone(),
            checked: self.checked,
        };
        // Texts and numbers: nothing here can fail to be JSON.
        let bytes = serde_json::to_vec_pretty(&json).unwrap_or_default();
        medium.replace(&folder.join(channel.file_name()), &self.list)?;
        medium.replace(&path(folder, channel), &bytes)
    }

    /// Whether it says the same as what was kept before, but for the time: there is nothing to write then.
    #[must_use]
    pub fn is_known(&self, kept: &Self) -> bool {
        (&self.seen, &self.tag, &self.list) == (&kept.seen, &kept.tag, &kept.list)
    }
}

fn path(folder: &Path, channel: &ChannelName) -> PathBuf {
    folder.join(format!("{channel}.json"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::medium::DataPartition;

    #[test]
    fn what_is_remembered_comes_back_and_what_is_damaged_is_an_error_not_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let channel: ChannelName = "stable".parse().unwrap();
        assert_eq!(Remembered::load(folder.path(), &channel).unwrap(), None);
        let remembered = Remembered {
            seen: Seen {
                serial: 7,
                digest: FileDigest::of(b"x"),
            },
            tag: Some("\"7\"".to_owned()),
            checked: Timestamp::from_second(1_795_313_345).unwrap(),
            list: b"list".to_vec(),
        };
        remembered.save(folder.path(), &channel, &DataPartition).unwrap();
        assert_eq!(
            Remembered::load(folder.path(), &channel).unwrap(),
            Some(remembered)
        );
        for bad in [
            "",
            "{}",
            "{\"format\":2,\"serial\":1,\"digest\":\"\",\"checked\":\"2026-11-30T00:00:00Z\"}",
        ] {
            fs::write(folder.path().join("stable.json"), bad).unwrap();
            assert!(
                matches!(
                    Remembered::load(folder.path(), &channel),
                    Err(StateError::Damaged { .. })
                ),
                "{bad}"
            );
        }
    }
}
