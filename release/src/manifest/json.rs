//! The manifest's JSON form.

use std::time::Duration;

use semver::Version;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{FORMAT, Manifest, Member, Members, RollbackIndex, Target, VerityParameters, sizes};
use crate::name::ReleaseName;

/// Longest health deadline that is meant: a week.
pub const MAX_DEADLINE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bytes that are no manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More than [`sizes::MAX_MANIFEST_BYTES`].
    #[error(
        "a manifest has at most {} bytes, here are {found}",
        sizes::MAX_MANIFEST_BYTES
    )]
    TooLong {
        /// How many.
        found: usize,
    },
    /// It isn't JSON, or a field is missing, unknown, or of another type.
    #[error("read the manifest")]
    Json(#[source] serde_json::Error),
    /// A newer Outcrop made it.
    #[error("the manifest has format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// A field's text means nothing.
    #[error("the manifest's {field} is {value:?}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its text.
        value: String,
    },
    /// A length that nothing real has.
    #[error("the manifest's {field} is {bytes} bytes, which can't be")]
    Size {
        /// The field.
        field: &'static str,
        /// The length.
        bytes: u64,
    },
}

/// Read before anything else, so that a newer format is called so whatever else it holds.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
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
    minimum_updater: Version,
    health_deadline_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    kubernetes: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    layout_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    secure_boot: Option<String>,
    root: JsonTarget,
    boot: JsonTarget,
    verity: JsonVerity,
    members: JsonMembers,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct JsonTarget {
    bytes: u64,
    root_hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonVerity {
    salt: String,
    uuid: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonMember {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct JsonMembers {
    index: JsonMember,
    index_top: JsonMember,
    verity: JsonMember,
    boot: JsonMember,
    root: JsonMember,
}

pub(super) fn write(manifest: &Manifest) -> Vec<u8> {
    let ReleaseName {
        image,
        version,
        architecture,
        board,
    } = &manifest.release;
    let json = Json {
        format: FORMAT,
        name: image.to_string(),
        version: version.clone(),
        architecture: architecture.to_string(),
        board: board.to_string(),
        rollback_index: manifest.rollback_index.0,
        minimum_updater: manifest.minimum_updater.clone(),
        health_deadline_seconds: manifest.health_deadline.as_secs(),
        kubernetes: manifest.kubernetes.clone(),
        layout_of: manifest.layout_of.map(|hash| hash.to_string()),
        secure_boot: manifest.secure_boot.map(|digest| digest.to_string()),
        root: manifest.root.into(),
        boot: manifest.boot.into(),
        verity: JsonVerity {
            salt: manifest.verity.salt.to_string(),
            uuid: manifest.verity.uuid.to_string(),
        },
        members: manifest.members.into(),
    };
    signed_form(&json)
}

/// Reads a manifest's JSON: none that is too long, none of another format.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ManifestError> {
    if bytes.len() > sizes::MAX_MANIFEST_BYTES {
        return Err(ManifestError::TooLong { found: bytes.len() });
    }
    let FormatOnly { format } = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
    if format != FORMAT {
        return Err(ManifestError::Format(format));
    }
    serde_json::from_slice(bytes).map_err(ManifestError::Json)
}

/// A manifest's JSON as it is signed: one field a line, a line break at the end.
pub(crate) fn signed_form(json: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and structs of them: nothing here can fail to be JSON.
    let mut bytes = serde_json::to_vec_pretty(json).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The release that four fields name.
pub(crate) fn release(
    name: &str,
    version: Version,
    architecture: &str,
    board: &str,
) -> Result<ReleaseName, ManifestError> {
    Ok(ReleaseName {
        image: text("name", name)?,
        version,
        architecture: text("architecture", architecture)?,
        board: text("board", board)?,
    })
}

pub(super) fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let json: Json = read(bytes)?;
    Ok(Manifest {
        release: release(&json.name, json.version, &json.architecture, &json.board)?,
        rollback_index: RollbackIndex(json.rollback_index),
        minimum_updater: json.minimum_updater,
        health_deadline: deadline(json.health_deadline_seconds)?,
        kubernetes: json.kubernetes,
        layout_of: json.layout_of.map(|hash| text("layout-of", &hash)).transpose()?,
        secure_boot: json
            .secure_boot
            .map(|digest| text("secure-boot", &digest))
            .transpose()?,
        root: target("root", &json.root)?,
        boot: target("boot payload", &json.boot)?,
        verity: VerityParameters {
            salt: text("salt", &json.verity.salt)?,
            uuid: text("UUID of hash trees", &json.verity.uuid)?,
        },
        members: Members {
            index: member("index", &json.members.index)?,
            index_top: member("top of the index", &json.members.index_top)?,
            verity: member("verity member", &json.members.verity)?,
            boot: member("boot member", &json.members.boot)?,
            root: member("root member", &json.members.root)?,
        },
    })
}

pub(super) fn deadline(seconds: u64) -> Result<Duration, ManifestError> {
    let deadline = Duration::from_secs(seconds);
    if deadline.is_zero() || deadline > MAX_DEADLINE {
        let value = seconds.to_string();
        let field = "health deadline in seconds";
        return Err(ManifestError::Value { field, value });
    }
    Ok(deadline)
}

pub(crate) fn text<T: std::str::FromStr>(field: &'static str, value: &str) -> Result<T, ManifestError> {
    value.parse().map_err(|_| ManifestError::Value {
        field,
        value: value.to_owned(),
    })
}

pub(crate) fn target(field: &'static str, json: &JsonTarget) -> Result<Target, ManifestError> {
    Ok(Target {
        bytes: sizes::target(field, json.bytes)?,
        root_hash: text(field, &json.root_hash)?,
    })
}

pub(crate) fn member(field: &'static str, json: &JsonMember) -> Result<Member, ManifestError> {
    Ok(Member {
        bytes: sizes::member(field, json.bytes)?,
        sha256: text(field, &json.sha256)?,
    })
}

impl From<Target> for JsonTarget {
    fn from(target: Target) -> Self {
        Self {
            bytes: target.bytes,
            root_hash: target.root_hash.to_string(),
        }
    }
}

impl From<Member> for JsonMember {
    fn from(member: Member) -> Self {
        Self {
            bytes: member.bytes,
            sha256: member.sha256.to_string(),
        }
    }
}

impl From<Members> for JsonMembers {
    fn from(members: Members) -> Self {
        Self {
            index: members.index.into(),
            index_top: members.index_top.into(),
            verity: members.verity.into(),
            boot: members.boot.into(),
            root: members.root.into(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::digest::{FileDigest, RootHash};

    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let member = |name: &str| Member {
            bytes: 4096,
            sha256: FileDigest::of(name.as_bytes()),
        };
        let target = |name: &str| Target {
            bytes: 1 << 20,
            root_hash: RootHash::of(name.as_bytes()),
        };
        Manifest {
            release: ReleaseName {
                image: "edge".parse().unwrap(),
                version: Version::new(1, 2, 3),
                architecture: "aarch64".parse().unwrap(),
                board: "efi".parse().unwrap(),
            },
            rollback_index: RollbackIndex(4),
            minimum_updater: Version::new(0, 1, 0),
            health_deadline: Duration::from_secs(600),
            kubernetes: Some(Version::new(1, 20, 2)),
            layout_of: Some(RootHash::of(b"before")),
            secure_boot: Some(FileDigest::of(b"certificate")),
            root: target("root"),
            boot: target("boot"),
            verity: VerityParameters {
                salt: crate::verity::Salt::from_bytes([5; 32]),
                uuid: uuid::Uuid::from_u128(7),
            },
            members: Members {
                index: member("index"),
                index_top: member("top"),
                verity: member("verity"),
                boot: member("boot"),
                root: member("root"),
            },
        }
    }

    fn text_of(manifest: &Manifest) -> String {
        String::from_utf8(manifest.to_bytes()).unwrap()
    }

    #[test]
    fn a_manifest_survives_being_written_and_read() {
        let manifest = manifest();
        assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
        assert!(text_of(&manifest).starts_with("{\n  \"format\": 1,\n  \"name\": \"edge\",\n"));
    }

    #[test]
    fn a_release_may_be_laid_out_after_another_whose_root_hash_has_64_digits() {
        let mut fresh = manifest();
        fresh.layout_of = None;
        assert!(!text_of(&fresh).contains("layout-of"));
        assert_eq!(Manifest::parse(&fresh.to_bytes()).unwrap(), fresh);
        let hash = RootHash::of(b"before").to_string();
        for wrong in ["", &hash[1..], &hash.replacen(&hash[..1], "g", 1)] {
            let text = text_of(&manifest()).replace(&hash, wrong);
            let error = Manifest::parse(text.as_bytes()).unwrap_err();
            assert!(
                matches!(&error, ManifestError::Value { field: "layout-of", value } if value == wrong),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_release_may_be_signed_for_secure_boot_by_a_certificate_whose_digest_has_64_digits() {
        let mut unsigned = manifest();
        unsigned.secure_boot = None;
        assert!(!text_of(&unsigned).contains("secure-boot"));
        assert_eq!(Manifest::parse(&unsigned.to_bytes()).unwrap(), unsigned);
        let digest = FileDigest::of(b"certificate").to_string();
        let text = text_of(&manifest()).replace(&digest, &digest[1..]);
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(
                error,
                ManifestError::Value {
                    field: "secure-boot",
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn a_newer_format_is_called_so_whatever_else_is_in_it() {
        let error = Manifest::parse(b"{\"format\": 2, \"new\": []}").unwrap_err();
        assert!(matches!(error, ManifestError::Format(2)), "{error:?}");
    }

    #[test]
    fn every_field_is_needed_and_no_other_is_taken() {
        let text = text_of(&manifest());
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.trim().split_once("\": ") else {
                continue;
            };
            let key = key.trim_start_matches('"');
            let renamed = text.replacen(&format!("\"{key}\":"), "\"other\":", 1);
            assert!(
                Manifest::parse(renamed.as_bytes()).is_err(),
                "line {number}: {key}"
            );
        }
    }

    #[test]
    fn sizes_and_texts_that_nothing_real_has_are_refused() {
        let text = text_of(&manifest());
        for (from, to) in [
            ("1048576", "1048577"),
            ("1048576", "0"),
            ("4096", "8589934592"),
            ("1048576", "1099511631872"),
            ("4096", "18446744073709551616"),
            ("4096", "-1"),
            ("\"edge\"", "\"../edge\""),
            ("aarch64", "riscv64"),
            ("\"efi\"", "\"bios\""),
            ("600", "0"),
            ("600", "18446744073709551615"),
            ("1.2.3", "1.2"),
            ("0505", "05"),
            ("00000000-0000", "00000000+0000"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert!(Manifest::parse(changed.as_bytes()).is_err(), "{from} -> {to}");
        }
        let long = vec![b' '; sizes::MAX_MANIFEST_BYTES + 1];
        assert!(matches!(
            Manifest::parse(&long),
            Err(ManifestError::TooLong { .. })
        ));
    }
}
