//! The software bill of materials of a built image: CycloneDX 1.5, JSON.
//!
//! Nothing in it depends on when or where it is made: the serial number comes from the release and its root hash, the
//! time is the image's. Source: CycloneDX 1.5, <https://cyclonedx.org/docs/1.5/json/>.

mod model;
mod purl;
mod timestamp;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use outcrop_release::{
    digest::{FileDigest, RootHash},
    name::ReleaseName,
};
use uuid::Uuid;

use self::model::{Bom, Component, Hash, Metadata, Property, Tools};
use crate::lock::format::{LockedPackage, Role};

/// What the bill lists.
#[derive(Debug, Clone, Copy)]
pub struct Sbom<'a> {
    /// The image.
    pub release: &'a ReleaseName,
    /// The Debian release that the packages are of: `trixie`.
    pub suite: &'a str,
    /// Top hash of the root file system's verity tree.
    pub root_hash: RootHash,
    /// The image's time, in seconds since 1970.
    pub time: u64,
    /// The packages of the image's architecture, from the lock.
    pub packages: &'a [LockedPackage],
    /// Outcrop's own programs on the device: path in the image or boot payload, and digest.
    pub programs: &'a [(&'a str, FileDigest)],
    /// Files that the recipe takes from elsewhere: path in the image, version, digest.
    pub parts: &'a [(&'a str, &'a str, FileDigest)],
}

impl Sbom<'_> {
    /// Writes the bill as indented JSON with a line break at its end.
    ///
    /// # Errors
    /// When `output` can't be written.
    pub fn write(&self, mut output: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut output, &self.bom())?;
        output.write_all(b"\n")
    }

    fn bom(&self) -> Bom {
        let mut components = self.package_components();
        let own = self.programs.iter();
        components.extend(own.map(|(path, digest)| program(path, env!("CARGO_PKG_VERSION"), *digest)));
        let parts = self.parts.iter();
        components.extend(parts.map(|(path, version, digest)| program(path, version, *digest)));
        Bom {
            schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
            bom_format: "CycloneDX",
            spec_version: "1.5",
            serial_number: self.serial_number(),
            version: 1,
            metadata: Metadata {
                timestamp: timestamp::rfc3339(self.time),
                tools: Tools {
                    components: vec![Component::new(
                        "application",
                        "outcrop",
                        env!("CARGO_PKG_VERSION"),
                    )],
                },
                component: self.image(),
            },
            components,
        }
    }

    /// A UUID of version 8 (RFC 9562, section 5.8) from the release's name and root hash.
    fn serial_number(&self) -> String {
        let digest = FileDigest::of(format!("outcrop sbom {} {}", self.release, self.root_hash).as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        format!(
            "urn:uuid:{}",
            uuid::Builder::from_custom_bytes(bytes).into_uuid() as Uuid
        )
    }

    fn image(&self) -> Component {
        let release = self.release;
        let mut image = Component::new(
            "operating-system",
            release.image.as_str(),
            &release.version.to_string(),
        );
        image.bom_ref = Some(release.to_string());
        // The root hash is salted, so it is no digest of the image file: not a CycloneDX hash, but a property.
        image.properties = vec![
            Property::new("outcrop:architecture", release.architecture.as_str()),
            Property::new("outcrop:board", release.board.as_str()),
            Property::new("outcrop:root-hash", &self.root_hash.to_string()),
        ];
        image
    }

    /// One component for each package, with all roles that it is locked for.
    fn package_components(&self) -> Vec<Component> {
        let mut roles: BTreeMap<String, (&LockedPackage, BTreeSet<Role>)> = BTreeMap::new();
        for package in self.packages {
            let purl = purl::debian(&package.name, &package.version, &package.architecture, self.suite);
            roles
                .entry(purl)
                .or_insert_with(|| (package, BTreeSet::new()))
                .1
                .insert(package.role);
        }
        roles
            .into_iter()
            .map(|(purl, (package, roles))| {
                let mut component = Component::new("library", &package.name, &package.version);
                component.bom_ref = Some(purl.clone());
                component.purl = Some(purl);
                component.hashes = vec![Hash::sha256(package.sha256)];
                component.properties = roles
                    .into_iter()
                    .map(|role| Property::new("outcrop:role", role_name(role)))
                    .collect();
                component
            })
            .collect()
    }
}

fn program(path: &str, version: &str, digest: FileDigest) -> Component {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut component = Component::new("application", name, version);
    component.bom_ref = Some(format!("outcrop:{path}"));
    component.hashes = vec![Hash::sha256(digest)];
    component.properties = vec![Property::new("outcrop:path", path)];
    component
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Root => "root",
        Role::Boot => "boot",
    }
}

#[cfg(test)]
mod tests {
    use outcrop_release::{arch::Architecture, board::Board};
    use serde_json::Value;

    use super::*;
    use crate::lock::format::Archive;

    fn package(name: &str, version: &str, role: Role) -> LockedPackage {
        LockedPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            role,
            archive: Archive::Main,
            path: "pool/main/x.deb".to_owned(),
            size: 1,
            sha256: FileDigest::of(name.as_bytes()),
            scripts: Vec::new(),
        }
    }

    fn text(root_hash: &[u8]) -> String {
        let release = ReleaseName {
            image: "edge".parse().unwrap(),
            version: "0.1.0".parse().unwrap(),
            architecture: Architecture::X86_64,
            board: Board::Efi,
        };
        let packages = [
            package("systemd-boot-efi", "257.8-1", Role::Boot),
            package("openssh-server", "1:10.0p1-7+deb13u1", Role::Root),
            package("systemd-boot-efi", "257.8-1", Role::Root),
        ];
        let sbom = Sbom {
            release: &release,
            suite: "trixie",
            root_hash: RootHash::of(root_hash),
            time: 1_763_806_000,
            packages: &packages,
            programs: &[("usr/lib/outcrop/outcrop-init", FileDigest::of(b"init"))],
            parts: &[("usr/bin/kube", "1.20.2", FileDigest::of(b"kube"))],
        };
        let mut text = Vec::new();
        sbom.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_bill_of_a_release_is_always_the_same_text() {
        insta::assert_snapshot!(text(b"root"));
        assert_ne!(
            text(b"root"),
            text(b"other root"),
            "the serial number tells releases apart"
        );
    }

    /// What bom-1.5.schema.json says about the objects that are used: the keys that must be there, all keys that may.
    const COMPONENT: (&[&str], &[&str]) = (
        &["type", "name"],
        &[
            "type",
            "name",
            "version",
            "bom-ref",
            "purl",
            "hashes",
            "properties",
        ],
    );

    fn check(object: &Value, (required, known): (&[&str], &[&str])) {
        let object = object.as_object().unwrap();
        assert!(required.iter().all(|key| object.contains_key(*key)), "{object:?}");
        assert!(
            object.keys().all(|key| known.contains(&key.as_str())),
            "{object:?}"
        );
    }

    #[test]
    fn the_bill_has_what_the_schema_of_cyclonedx_1_5_demands_and_nothing_that_it_forbids() {
        let bom: Value = serde_json::from_str(&text(b"root")).unwrap();
        let top = [
            "bomFormat",
            "specVersion",
            "serialNumber",
            "version",
            "metadata",
            "components",
            "$schema",
        ];
        check(&bom, (&top[..4], &top));
        assert_eq!(
            (bom["bomFormat"].as_str(), bom["specVersion"].as_str()),
            (Some("CycloneDX"), Some("1.5"))
        );
        let serial = bom["serialNumber"]
            .as_str()
            .unwrap()
            .strip_prefix("urn:uuid:")
            .unwrap();
        assert_eq!(serial.parse::<Uuid>().unwrap().to_string(), serial);
        let metadata = &bom["metadata"];
        check(metadata, (&[], &["timestamp", "tools", "component"]));
        let tools = metadata["tools"]["components"].as_array().unwrap();
        let components = bom["components"].as_array().unwrap();
        let mut references = BTreeSet::new();
        for component in tools.iter().chain([&metadata["component"]]).chain(components) {
            check(component, COMPONENT);
            let kind = component["type"].as_str().unwrap();
            assert!(["application", "library", "operating-system"].contains(&kind));
            for hash in component["hashes"].as_array().into_iter().flatten() {
                check(hash, (&["alg", "content"], &["alg", "content"]));
                assert!(hash["alg"] == "SHA-256" && hash["content"].as_str().unwrap().len() == 64);
            }
            for property in component["properties"].as_array().into_iter().flatten() {
                check(property, (&["name", "value"], &["name", "value"]));
            }
            if let Some(reference) = component["bom-ref"].as_str() {
                assert!(references.insert(reference), "{reference} is there twice");
            }
        }
        assert_eq!(components.len(), 4, "a package with two roles is one component");
    }
}
