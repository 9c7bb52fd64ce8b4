//! What this device is and what it runs, put together from what the release, `outcrop-init` and earlier installations left.

use std::{
    cell::OnceCell,
    fs, io,
    path::{Path, PathBuf},
};

use outcrop_release::{
    bootrec::BootRecord,
    manifest::{ManifestError, RunningManifest},
    slot::Slot,
    trust::{Trust, TrustError},
};

use crate::{
    device_key::{self, DeviceKey, DeviceKeyError, KeptIn},
    facts::{self, BootFacts, FactsError},
    history::KnownRelease,
    tpm::CharacterDevice,
};

/// The trust file in the root file system.
const TRUST: &str = "usr/lib/outcrop/trust.toml";
/// Outcrop's state on the data partition.
const STATE: &str = "var/lib/outcrop";
/// The TPM 2.0, behind the kernel's resource manager.
const TPM: &str = "dev/tpmrm0";

/// The device can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A file can't be read. On another system than Outcrop's it is missing.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `boot.env` is damaged.
    #[error("understand what outcrop-init left")]
    Facts(#[from] FactsError),
    /// The running release doesn't say what it is.
    #[error("understand {}", path.display())]
    Release {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// The release trusts nobody.
    #[error(
        "the running release has no trust file: it installs nothing; build one whose recipe has [update] trust"
    )]
    NoTrust,
    /// The trust file is damaged.
    #[error("understand {}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TrustError,
    },
}

/// A device.
#[derive(Debug)]
pub struct Device {
    /// Its root, usually `/`.
    root: PathBuf,
    /// How this boot came about.
    pub boot: BootFacts,
    /// What runs.
    pub release: RunningManifest,
    /// Once it was asked for.
    key: OnceCell<DeviceKey>,
}

impl Device {
    /// Looks at the device whose root is `root`.
    ///
    /// # Errors
    /// When it isn't one of Outcrop's.
    pub fn read(root: &Path) -> Result<Self, DeviceError> {
        let facts = read(&root.join(inside(facts::FOLDER)).join(facts::BOOT_FILE))?;
        let boot = BootFacts::parse(&String::from_utf8_lossy(&facts))?;
        let path = root.join(RunningManifest::PATH);
        let release =
            RunningManifest::parse(&read(&path)?).map_err(|source| DeviceError::Release { path, source })?;
        Ok(Self {
            root: root.to_owned(),
            boot,
            release,
            key: OnceCell::new(),
        })
    }

    /// The slot that runs.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.boot.slot
    }

    /// The boot disk.
    #[must_use]
    pub fn disk(&self) -> &Path {
        Path::new(&self.boot.disk)
    }

    /// Outcrop's folder on the data partition.
    #[must_use]
    pub fn state_folder(&self) -> PathBuf {
        self.root.join(STATE)
    }

    /// What `outcrop-init` left.
    #[must_use]
    pub fn run_folder(&self) -> PathBuf {
        self.root.join(inside(facts::FOLDER))
    }

    /// A path below the device's root.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(inside(absolute))
    }

    /// Its own key, made when it is needed first, and unsealed once at most.
    ///
    /// # Errors
    /// See [`DeviceKeyError`].
    pub fn key(&self) -> Result<&DeviceKey, DeviceKeyError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = DeviceKey::of(&self.state_folder(), self.tpm())?;
        Ok(self.key.get_or_init(|| key))
    }

    /// Whether its key was asked for.
    #[must_use]
    pub fn knows_key(&self) -> bool {
        self.key.get().is_some()
    }

    /// How its key is kept, and why it can't be used now; none is made. See [`device_key::look`].
    ///
    /// # Errors
    /// When it can't be read, or is damaged.
    pub fn look_at_key(&self) -> Result<Option<(KeptIn, Option<DeviceKeyError>)>, DeviceKeyError> {
        device_key::look(&self.state_folder(), &self.tpm())
    }

    fn tpm(&self) -> CharacterDevice {
        CharacterDevice(self.root.join(TPM))
    }

    /// Whose releases it installs.
    ///
    /// # Errors
    /// When the release has no trust file, or a damaged one.
    pub fn trust(&self) -> Result<Trust, DeviceError> {
        let path = self.root.join(TRUST);
        match fs::read_to_string(&path) {
            Ok(text) => Trust::parse(&text).map_err(|source| DeviceError::Trust { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DeviceError::NoTrust),
            Err(source) => Err(DeviceError::Read { path, source }),
        }
    }

    /// The running release as the history knows it; its digest is the boot record's.
    #[must_use]
    pub fn running_release(&self, record: &BootRecord) -> KnownRelease {
        KnownRelease {
            version: self.release.release.version.to_string(),
            digest: record.slot(self.slot()).release.to_string(),
        }
    }

    /// `edge 1.2.0 x86_64 slot a`
    #[must_use]
    pub fn title(&self) -> String {
        let name = &self.release.release;
        format!(
            "{} {} {} slot {}",
            name.image,
            name.version,
            name.architecture,
            self.slot()
        )
    }
}

fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn read(path: &Path) -> Result<Vec<u8>, DeviceError> {
    fs::read(path).map_err(|source| DeviceError::Read {
        path: path.to_owned(),
        source,
    })
}
