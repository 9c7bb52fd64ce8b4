//! Who has armed the trial of the other slot: the agent, whose restart hasn't come yet, or somebody whose affair the restart is.
//!
//! `/run/outcrop/armed`. An armed trial is used up by the next boot, and so is this: both end together, and no full data partition keeps it from
//! being known. A trial that a boot armed again, since it had ended without a verdict, is the one's who armed it first: that is in the agent's memory.

use std::{fmt, path::Path, str::FromStr};

use outcrop_release::digest::FileDigest;

use crate::durable::{self, DurableError};

const FILE_NAME: &str = "armed";

/// Who arms trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armer {
    /// The agent, right before it restarts.
    Agent,
    /// Whoever typed `outcrop-updater install`.
    Somebody,
}

/// Who has armed which release. Text form: `agent` or `somebody`, a space, and the digest of the release's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArmedBy {
    /// Who.
    pub who: Armer,
    /// Its manifest's digest.
    pub release: FileDigest,
}

/// A text that says nothing about who armed what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} doesn't say who armed which release")]
pub struct UnknownArmer(String);

impl fmt::Display for ArmedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.who {
            Armer::Agent => "agent",
            Armer::Somebody => "somebody",
        };
        write!(f, "{who} {}", self.release)
    }
}

impl FromStr for ArmedBy {
    type Err = UnknownArmer;

    fn from_str(text: &str) -> Result<Self, UnknownArmer> {
        let bad = || UnknownArmer(text.to_owned());
        let (who, release) = text.split_once(' ').ok_or_else(bad)?;
        let who = match who {
            "agent" => Armer::Agent,
            "somebody" => Armer::Somebody,
            _ => return Err(bad()),
        };
        let release = release.parse().map_err(|_| bad())?;
        Ok(Self { who, release })
    }
}

impl ArmedBy {
    /// What is known of this boot, in Outcrop's folder `run` that is gone with it. Nothing where nobody armed anything, or the file is no such.
    #[must_use]
    pub fn load(run: &Path) -> Option<Self> {
        let bytes = durable::read(&run.join(FILE_NAME)).ok().flatten()?;
        String::from_utf8(bytes).ok()?.trim_end().parse().ok()
    }

    /// Keeps it as long as the device isn't restarted. Call it before the trial is armed.
    ///
    /// # Errors
    /// When there is no room, or the file system fails.
    pub fn save(&self, run: &Path) -> Result<(), DurableError> {
        durable::replace(&run.join(FILE_NAME), format!("{self}\n").as_bytes())
    }

    /// Nobody has armed anything any more.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn forget(run: &Path) -> Result<(), DurableError> {
        durable::remove(&run.join(FILE_NAME)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_armed_what_is_known_until_it_is_forgotten() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path();
        assert_eq!(ArmedBy::load(path), None);
        for who in [Armer::Agent, Armer::Somebody] {
            let armed = ArmedBy {
                who,
                release: FileDigest::of(b"x"),
            };
            armed.save(path).unwrap();
            assert_eq!(ArmedBy::load(path), Some(armed));
        }
        ArmedBy::forget(path).unwrap();
        ArmedBy::forget(path).unwrap();
        assert_eq!(ArmedBy::load(path), None);
    }

    #[test]
    fn a_file_that_says_neither_who_nor_what_says_nothing() {
        let run = tempfile::tempdir().unwrap();
        let digest = FileDigest::of(b"x");
        for text in [
            String::new(),
            "agent".to_owned(),
            format!("agent{digest}"),
            format!("nobody {digest}"),
            format!("agent {digest} "),
            "agent 00".to_owned(),
        ] {
            assert!(text.parse::<ArmedBy>().is_err(), "{text:?}");
        }
        std::fs::write(run.path().join(FILE_NAME), [0xff, 0xfe]).unwrap();
        assert_eq!(ArmedBy::load(run.path()), None);
    }
}
