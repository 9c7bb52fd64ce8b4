//! Somebody's word that a release may be installed: where the site wants one, and where somebody went back from that release before.
//!
//! `/var/lib/outcrop/approved.json`. It is written first, then the history gets its event, then what kept the release away is lifted, and then the
//! file says that all of that is done. Whatever a power cut leaves undone the next run of the agent does, before it acts on the approval: none that had
//! an effect is missing in the history, and none is there twice.

use std::path::Path;

use outcrop_release::{
    digest::FileDigest,
    journal::{Deed, Event},
    report::Reason,
};
use serde::{Deserialize, Serialize};

use super::{
    memory::{FORMAT, MemoryError, json, load},
    site::{Site, Trouble},
};
use crate::{
    chain,
    durable::{self, DurableError},
};

const FILE_NAME: &str = "approved.json";

/// Somebody's approval of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Approval {
    format: u32,
    /// Its manifest's digest.
    digest: String,
    /// Its version, for people.
    pub version: String,
    /// The number of the history's newest event when it was given, as long as what follows from it isn't done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_after: Option<u64>,
}

impl Approval {
    /// An approval of the release whose manifest has `digest`, when the history had events up to the number `newest`. Nothing follows from it yet.
    #[must_use]
    pub fn new(digest: FileDigest, version: String, newest: u64) -> Self {
        Self {
            format: FORMAT,
            digest: digest.to_string(),
            version,
            pending_after: Some(newest),
        }
    }

    /// What was approved last, if anything was, in Outcrop's folder `state`.
    ///
    /// # Errors
    /// See [`MemoryError`].
    pub fn load(state: &Path) -> Result<Option<Self>, MemoryError> {
        load(&state.join(FILE_NAME), |approval: &Self| approval.format)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When there is no room, or the file system fails.
    pub fn save(&self, state: &Path) -> Result<(), DurableError> {
        durable::replace(&state.join(FILE_NAME), &json(self))
    }

    /// Takes back whatever was approved.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn remove(state: &Path) -> Result<(), DurableError> {
        durable::remove(&state.join(FILE_NAME)).map(drop)
    }

    /// The release.
    #[must_use]
    pub fn digest(&self) -> Option<FileDigest> {
        self.digest.parse().ok()
    }

    /// What the history has of it.
    fn event(&self) -> Event {
        Event::Decided {
            deed: Deed::Approved,
            version: self.version.clone(),
            reason: None,
        }
    }
}

/// What is approved, after everything that follows from it is done: the history knows, and a release that somebody went back from is
/// wanted again.
///
/// # Errors
/// When the approval can't be read, or what follows can't be done: that is left to the next run.
pub fn settle(site: &mut impl Site) -> Result<Option<Approval>, Trouble> {
    let state = site.state();
    let trouble = |detail: String| Trouble {
        reason: Reason::Storage,
        detail,
    };
    let loaded = Approval::load(&state).map_err(|error| {
        trouble(format!(
            "what was approved can't be told, approve it again: {}",
            chain::describe(&error)
        ))
    })?;
    let Some(approval) = loaded else { return Ok(None) };
    let (Some(newest), Some(digest)) = (approval.pending_after, approval.digest()) else {
        return Ok(Some(approval));
    };
    let event = approval.event();
    if !site.has_noted(newest, &event) {
        site.note(event);
    }
    site.take_up(digest)?;
    let settled = Approval {
        pending_after: None,
        ..approval
    };
    // Where that can't be kept, all of it is looked at again the next time, and found to be done.
    if let Err(error) = settled.save(&state) {
        site.tell(&format!(
            "what was approved can't be kept: {}",
            chain::describe(&error)
        ));
    }
    Ok(Some(settled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_stays_until_it_is_taken_back() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path();
        assert_eq!(Approval::load(path).unwrap(), None);
        let approval = Approval::new(FileDigest::of(b"x"), "1.1.0".to_owned(), 7);
        approval.save(path).unwrap();
        let loaded = Approval::load(path).unwrap().unwrap();
        assert_eq!(loaded, approval);
        assert_eq!(loaded.digest(), Some(FileDigest::of(b"x")));
        Approval::remove(path).unwrap();
        Approval::remove(path).unwrap();
        assert_eq!(Approval::load(path).unwrap(), None);
    }

    #[test]
    fn a_damaged_approval_approves_nothing() {
        let state = tempfile::tempdir().unwrap();
        for text in [
            "",
            "{}",
            "{\"format\":1}",
            "{\"format\":2,\"digest\":\"\",\"version\":\"\"}",
        ] {
            std::fs::write(state.path().join(FILE_NAME), text).unwrap();
            let loaded = Approval::load(state.path());
            assert!(matches!(loaded, Err(MemoryError::Damaged { .. })), "{text:?}");
        }
    }
}
