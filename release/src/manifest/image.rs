//! The manifest of a disk image: what is signed beside it, so that nobody flashes a changed one.

use semver::Version;
use serde::{Deserialize, Serialize};

use super::{
    FORMAT, ManifestError, Member,
    json::{JsonMember, read, release, signed_form, text},
    sizes,
};
use crate::name::ReleaseName;

/// What a disk image is, and the digests of its bytes and of its block map's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// Product, version, architecture, board.
    pub release: ReleaseName,
    /// `NAME-VERSION-ARCH-BOARD.img`, holes included.
    pub image: Member,
    /// `NAME-VERSION-ARCH-BOARD.bmap`.
    pub block_map: Member,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Json {
    format: u32,
    name: String,
    version: Version,
    architecture: String,
    board: String,
    image: JsonMember,
    block_map: JsonMember,
}

impl ImageManifest {
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
            format: FORMAT,
            name: image.to_string(),
            version: version.clone(),
            architecture: architecture.to_string(),
            board: board.to_string(),
            image: self.image.into(),
            block_map: self.block_map.into(),
        };
        signed_form(&json)
    }

    /// Reads a manifest. That says nothing about who made it.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let json: Json = read(bytes)?;
        Ok(Self {
            release: release(&json.name, json.version, &json.architecture, &json.board)?,
            image: file("image", &json.image)?,
            block_map: file("block map", &json.block_map)?,
        })
    }
}

fn file(field: &'static str, json: &JsonMember) -> Result<Member, ManifestError> {
    Ok(Member {
        bytes: sizes::file(field, json.bytes)?,
        sha256: text(field, &json.sha256)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::FileDigest, manifest::tests::manifest};

    #[test]
    fn an_image_manifest_survives_being_written_and_read_and_takes_no_other_field() {
        let file = |text: &str, bytes| Member {
            bytes,
            sha256: FileDigest::of(text.as_bytes()),
        };
        let manifest = ImageManifest {
            release: manifest().release,
            image: file("image", 3 << 30),
            block_map: file("map", 4711),
        };
        let bytes = manifest.to_bytes();
        assert_eq!(ImageManifest::parse(&bytes).unwrap(), manifest);
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("\"image\"", "\"picture\""),
            ("3221225472", "0"),
            ("3221225472", "1099511627777"),
            ("\"edge\"", "\"../edge\""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert!(ImageManifest::parse(changed.as_bytes()).is_err(), "{to}");
        }
    }
}
