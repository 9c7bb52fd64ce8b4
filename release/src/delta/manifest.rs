//! `delta.json`: which releases a delta leads from and to. What is signed are its exact bytes.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{
    digest::FileDigest,
    manifest::{ManifestError, Member, Target, json},
    name::ReleaseName,
};

/// The release that a delta starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldRelease {
    /// Its version.
    pub version: Version,
    /// Its root file system.
    pub root: Target,
    /// Its boot payload.
    pub boot: Target,
}

/// What a delta is. Reading one says nothing about who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaManifest {
    /// The release that it leads to.
    pub release: ReleaseName,
    /// Digest of that release's manifest.
    pub manifest: FileDigest,
    /// The release that it starts from; none when it needs nothing.
    pub from: Option<OldRelease>,
    /// The index.
    pub index: Member,
    /// The frames.
    pub data: Member,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Json {
    format: u32,
    name: String,
    version: Version,
    architecture: String,
    board: String,
    manifest: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    from: Option<JsonOld>,
    index: json::JsonMember,
    data: json::JsonMember,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct JsonOld {
    version: Version,
    root: json::JsonTarget,
    boot: json::JsonTarget,
}

impl DeltaManifest {
    /// The manifest as it is signed: JSON, one field a line, a line break at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let ReleaseName {
            image,
            version,
            architecture,
            board,
        } = &self.release;
        let json = Json {
            format: crate::manifest::FORMAT,
            name: image.to_string(),
            version: version.clone(),
            architecture: architecture.to_string(),
            board: board.to_string(),
            manifest: self.manifest.to_string(),
            from: self.from.as_ref().map(|old| JsonOld {
                version: old.version.clone(),
                root: old.root.into(),
                boot: old.boot.into(),
            }),
            index: self.index.into(),
            data: self.data.into(),
        };
        json::signed_form(&json)
    }

    /// Reads a manifest. That says nothing about who made it.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let json: Json = json::read(bytes)?;
        let old = |old: JsonOld| {
            Ok::<_, ManifestError>(OldRelease {
                version: old.version,
                root: json::target("old root", &old.root)?,
                boot: json::target("old boot payload", &old.boot)?,
            })
        };
        Ok(Self {
            release: json::release(&json.name, json.version, &json.architecture, &json.board)?,
            manifest: json::text("manifest's digest", &json.manifest)?,
            from: json.from.map(old).transpose()?,
            index: json::member("index", &json.index)?,
            data: json::member("data", &json.data)?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::digest::RootHash;

    pub(crate) fn delta() -> DeltaManifest {
        let target = |bytes: u64, name: &[u8]| Target {
            bytes,
            root_hash: RootHash::of(name),
        };
        let member = |bytes: u64, name: &[u8]| Member {
            bytes,
            sha256: FileDigest::of(name),
        };
        DeltaManifest {
            release: crate::manifest::tests::manifest().release,
            manifest: FileDigest::of(b"manifest"),
            from: Some(OldRelease {
                version: Version::new(1, 2, 2),
                root: target(1 << 20, b"root"),
                boot: target(8192, b"boot"),
            }),
            index: member(100, b"index"),
            data: member(1000, b"data"),
        }
    }

    #[test]
    fn a_delta_s_manifest_survives_its_json_form() {
        let whole = DeltaManifest {
            from: None,
            ..delta()
        };
        for delta in [delta(), whole] {
            assert_eq!(DeltaManifest::parse(&delta.to_bytes()).unwrap(), delta);
        }
    }

    #[test]
    fn every_field_is_needed_and_no_other_is_taken() {
        let text = String::from_utf8(delta().to_bytes()).unwrap();
        for line in text.lines() {
            let Some((key, _)) = line.trim().trim_start_matches('"').split_once("\": ") else {
                continue;
            };
            let renamed = text.replacen(&format!("\"{key}\":"), "\"other\":", 1);
            assert!(DeltaManifest::parse(renamed.as_bytes()).is_err(), "{key}");
        }
        for (from, to) in [
            ("1048576", "1048577"),
            ("\"format\": 1", "\"format\": 2"),
            ("1.2.2", "1.2"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert!(
                DeltaManifest::parse(changed.as_bytes()).is_err(),
                "{from} -> {to}"
            );
        }
    }
}
