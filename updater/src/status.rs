//! What runs on this device, and what is wrong with it.

use std::{fs, io, path::Path};

use serde::Serialize;

use crate::{
    device_config::ConfigReport,
    facts::{self, BootFacts, FactsError},
    os_release,
};

/// The state of the device. Its JSON form is what `status --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Product name.
    pub name: String,
    /// Release of the product.
    pub version: String,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    /// The running slot: `a` or `b`.
    pub slot: String,
    /// Root hash of the running release.
    pub root_hash: String,
    /// The boot disk, as a path.
    pub disk: String,
    /// The data partition, as a path; none when `/var` is in memory.
    pub data: Option<String>,
    /// How long `outcrop-init` took, in milliseconds.
    pub initramfs_milliseconds: u64,
    /// Why the device is degraded, as far as `outcrop-init` knows; empty when it isn't.
    pub degraded: Vec<String>,
    /// What became of the device's own configuration; none before `outcrop-init` knew of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigReport>,
}

/// The state can't be told.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// A file is unreadable. On another system than Outcrop's it is missing.
    #[error("read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// `boot.env` is damaged.
    #[error("understand what outcrop-init left")]
    Facts(#[from] FactsError),
    /// `os-release` doesn't name the release.
    #[error("{path} has no {key}: this is no image of Outcrop's")]
    NoRelease {
        /// The file.
        path: String,
        /// The missing key.
        key: &'static str,
    },
}

/// Reads the state of a system whose root is `root` (usually `/`).
///
/// # Errors
/// When it isn't one of Outcrop's.
pub fn read_status(root: &Path) -> Result<Status, StatusError> {
    let read = |path: &str| {
        let path = root.join(path.trim_start_matches('/'));
        fs::read_to_string(&path).map_err(|source| StatusError::Read {
            path: path.display().to_string(),
            source,
        })
    };
    let release = read(os_release::PATH)?;
    let named = |key| {
        let path = os_release::PATH.to_owned();
        os_release::value(&release, key).ok_or(StatusError::NoRelease { path, key })
    };
    let boot = BootFacts::parse(&read(&format!("{}/{}", facts::FOLDER, facts::BOOT_FILE))?)?;
    let folder = root.join(facts::FOLDER.trim_start_matches('/'));
    let degraded = facts::degraded_reasons(&folder).map_err(|source| StatusError::Read {
        path: folder.join(facts::DEGRADED_FILE).display().to_string(),
        source,
    })?;
    let (begin, end) = boot.init_milliseconds;
    Ok(Status {
        name: named("IMAGE_ID")?,
        version: named("IMAGE_VERSION")?,
        architecture: std::env::consts::ARCH.to_owned(),
        slot: boot.slot.to_string(),
        root_hash: boot.root_hash.to_string(),
        disk: boot.disk,
        data: boot.data,
        initramfs_milliseconds: end.saturating_sub(begin),
        degraded,
        configuration: ConfigReport::load(&folder),
    })
}

impl Status {
    /// The release in one line: `edge 0.1.0 x86_64 slot a`.
    #[must_use]
    pub fn title(&self) -> String {
        let Self {
            name,
            version,
            architecture,
            slot,
            ..
        } = self;
        format!("{name} {version} {architecture} slot {slot}")
    }

    /// For people: one fact a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let data = self.data.as_deref().unwrap_or("none: /var is in memory");
        let health = if self.degraded.is_empty() {
            "none".to_owned()
        } else {
            self.degraded.join("\n             ")
        };
        let device = self
            .configuration
            .as_ref()
            .map(ConfigReport::to_text)
            .unwrap_or_default();
        format!(
            "release      {} {} ({})\nslot         {} on {}\nroot hash    {}\ndata         {data}\ntrouble      {health}\n{device}",
            self.name, self.version, self.architecture, self.slot, self.disk, self.root_hash
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use outcrop_release::{digest::RootHash, slot::Slot};

    use super::*;

    pub(crate) fn status() -> Status {
        Status {
            name: "edge".to_owned(),
            version: "0.1.0".to_owned(),
            architecture: "x86_64".to_owned(),
            slot: "a".to_owned(),
            root_hash: RootHash::of(b"x").to_string(),
            disk: "/dev/vda".to_owned(),
            data: Some("/dev/vda9".to_owned()),
            initramfs_milliseconds: 700,
            degraded: vec![],
            configuration: None,
        }
    }

    fn system(os_release: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        fs::create_dir_all(root.path().join("run/outcrop")).unwrap();
        fs::write(root.path().join("usr/lib/os-release"), os_release).unwrap();
        let facts = BootFacts {
            slot: Slot::A,
            root_hash: RootHash::of(b"x"),
            disk: "/dev/vda".to_owned(),
            data: Some("/dev/vda9".to_owned()),
            init_milliseconds: (100, 800),
        };
        fs::write(root.path().join("run/outcrop/boot.env"), facts.to_env()).unwrap();
        root
    }

    #[test]
    fn release_boot_facts_and_reasons_come_together() {
        let root = system("IMAGE_ID=edge\nIMAGE_VERSION=0.1.0\n");
        let expected = Status {
            architecture: std::env::consts::ARCH.to_owned(),
            ..status()
        };
        assert_eq!(read_status(root.path()).unwrap(), expected);
        facts::write_degraded(&root.path().join("run/outcrop"), &["x".to_owned()]).unwrap();
        assert_eq!(read_status(root.path()).unwrap().degraded, ["x"]);
    }

    #[test]
    fn another_system_is_told_as_such() {
        let error = read_status(system("ID=debian\n").path()).unwrap_err();
        assert!(error.to_string().contains("no IMAGE_ID"));
        let error = read_status(tempfile::tempdir().unwrap().path()).unwrap_err();
        assert!(error.to_string().starts_with("read "));
    }

    #[test]
    fn the_text_names_release_slot_data_and_trouble() {
        let trouble = Status {
            data: None,
            degraded: vec!["a".to_owned(), "b".to_owned()],
            ..status()
        };
        let text = trouble.to_text();
        for part in [
            "edge 0.1.0 (x86_64)",
            "a on /dev/vda",
            "none: /var is in memory",
            "a\n             b",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(status().to_text().contains("trouble      none"));
    }
}
