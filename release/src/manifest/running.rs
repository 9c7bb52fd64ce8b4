//! What a release says of itself inside its own root file system, for the updater that runs from it.

use std::time::Duration;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::{
    FORMAT, ManifestError, RollbackIndex,
    json::{deadline, read, release, signed_form},
};
use crate::name::ReleaseName;

/// The release that runs. Nothing signs it: it lies under the root hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningManifest {
    /// Product, version, architecture, board.
    pub release: ReleaseName,
    /// The recipe's.
    pub rollback_index: RollbackIndex,
    /// How long a trial of this release may take, from its kernel's start, until its checks hold.
    pub health_deadline: Duration,
    /// The Kubernetes that it carries, if any.
    pub kubernetes: Option<Version>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Json {
    format: u32,
    name: String,
    version: Version,
    architecture: String,
    board: String,
    rollback_index: u32,
    health_deadline_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    kubernetes: Option<Version>,
}

impl RunningManifest {
    /// Where it lies in the root file system.
    pub const PATH: &str = "usr/lib/outcrop/release.json";

    /// Its JSON form: one field a line, a line break at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let ReleaseName {
            image,
            version,
            architecture,
            board,
        } = &self.release;
        signed_form(&Json {
            format: FORMAT,
            name: image.to_string(),
            version: version.clone(),
            architecture: architecture.to_string(),
            board: board.to_string(),
            rollback_index: self.rollback_index.0,
            health_deadline_seconds: self.health_deadline.as_secs(),
            kubernetes: self.kubernetes.clone(),
        })
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let json: Json = read(bytes)?;
        Ok(Self {
            release: release(&json.name, json.version, &json.architecture, &json.board)?,
            rollback_index: RollbackIndex(json.rollback_index),
            health_deadline: deadline(json.health_deadline_seconds)?,
            kubernetes: json.kubernetes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::manifest;

    #[test]
    fn what_a_release_says_of_itself_survives_being_written_and_read() {
        let manifest = manifest();
        let running = RunningManifest {
            release: manifest.release,
            rollback_index: manifest.rollback_index,
            health_deadline: manifest.health_deadline,
            kubernetes: Some(Version::new(1, 20, 2)),
        };
        let bytes = running.to_bytes();
        assert_eq!(RunningManifest::parse(&bytes).unwrap(), running);
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("rollback", "roll"),
            ("{", "["),
        ] {
            let changed = text.replacen(from, to, 1);
            assert!(RunningManifest::parse(changed.as_bytes()).is_err(), "{to}");
        }
    }
}
