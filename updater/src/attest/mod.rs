//! What runs on this device, in one fingerprint: two devices of one release and equal configuration have the same. What makes one a snowflake
//! is listed by path.
//!
//! It says what this system says of itself. Whoever is root here can have it say anything: it finds drift, not an attacker.

mod etc_layer;
mod mounts;
mod payload;
mod var;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use outcrop_release::{
    cmdline::{CommandLine, PARTITION_OPTION, SLOT_OPTION, START_OPTION},
    digest::FileDigest,
    report::Drift,
};
use serde::Serialize;

pub use etc_layer::save_configured;

use crate::{
    block_disk::{Access, BlockDisk},
    device::{Device, DeviceError},
    device_config::ConfigReport,
    init::dm::{self, DmError},
    record::{self, StoreError},
};

/// What runs. Its JSON form is what `attest --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attestation {
    /// Product, version, architecture, board.
    pub release: String,
    /// Root hash in the table of the kernel's dm-verity device.
    pub root_hash: String,
    /// The kernel command line, without the words that name the slot.
    pub command_line: String,
    /// SHA-256 of the running slot's boot payload, read from the medium; none where the boot record doesn't know its length.
    pub boot_payload: Option<String>,
    /// SHA-256 of the device's own configuration; secrets count as present or absent.
    pub configuration: Option<String>,
    /// What isn't as release and configuration have it, by path.
    pub differences: Vec<Difference>,
    /// Folders of `/var` that containers and Kubernetes fill: nobody looked into them.
    pub not_looked_into: Vec<String>,
}

/// One path that isn't as release and configuration have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The path, absolute.
    pub path: String,
    /// What is different.
    pub what: What,
    /// SHA-256 of what is there, for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// How a path is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Neither release nor configuration has it.
    Added,
    /// They have it with other content; or a release's file was changed.
    Changed,
    /// It was taken away.
    Removed,
    /// Something is mounted over the release.
    MountedOver,
    /// A program outside the release.
    Executable,
    /// A unit, timetable or key outside release and configuration.
    Unit,
    /// What runs isn't what was installed.
    NotInstalled,
}

impl What {
    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Added => "was added",
            Self::Changed => "was changed",
            Self::Removed => "was taken away",
            Self::MountedOver => "is mounted over the release",
            Self::Executable => "is a program outside the release",
            Self::Unit => "is a unit, a timetable or a list of keys outside the release",
            Self::NotInstalled => "isn't what was installed",
        }
    }
}

/// What runs can't be told.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// It isn't one of Outcrop's devices.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The kernel's verity device.
    #[error("ask the kernel what it verifies the root file system by")]
    Verity(#[from] DmError),
    /// A file or folder.
    #[error("read {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The boot disk.
    #[error("open the boot disk")]
    Disk(#[from] crate::block_disk::OpenError),
    /// The boot record.
    #[error("read the boot record")]
    Record(#[from] StoreError),
    /// The boot payload.
    #[error("read the boot payload")]
    Payload(#[from] payload::PayloadError),
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> AttestError + use<'_> {
    move |source| AttestError::Read {
        path: path.to_owned(),
        source,
    }
}

impl Attestation {
    /// How far the device has drifted, as reports have it.
    #[must_use]
    pub fn drift(&self) -> Drift {
        // Texts: nothing here can fail to be JSON.
        let told = serde_json::to_vec(&self.differences).unwrap_or_default();
        Drift {
            differences: u32::try_from(self.differences.len()).unwrap_or(u32::MAX),
            fingerprint: FileDigest::of(&told),
        }
    }

    /// Looks at the device whose root is `root`.
    ///
    /// # Errors
    /// When something that must be there can't be read.
    pub fn of(root: &Path) -> Result<Self, AttestError> {
        let device = Device::read(root)?;
        let root_hash = dm::root_hash(&device.path("/dev/mapper/control"))?;
        let disk = BlockDisk::open(device.disk(), Access::Read)?;
        let record = record::load(&disk)?;
        let (boot_payload, damaged) =
            payload::digest(&disk, device.slot(), &record.slot(device.slot()).payload)?;
        let mut differences = Vec::new();
        if damaged || root_hash != device.boot.root_hash.to_string() {
            differences.push(Difference {
                path: format!("slot {}", device.slot()),
                what: What::NotInstalled,
                sha256: boot_payload.clone(),
            });
        }
        let text = |path: &str| {
            let path = device.path(path);
            fs::read_to_string(&path).map_err(read_error(&path))
        };
        differences.extend(mounts::over_the_release(&text("/proc/self/mountinfo")?));
        differences.extend(etc_layer::differences(&device)?);
        let stores = var::stores(&device);
        differences.extend(var::differences(&device.path("/var"), &stores)?);
        differences.sort();
        let name = &device.release.release;
        Ok(Self {
            release: format!(
                "{} {} {} {}",
                name.image, name.version, name.architecture, name.board
            ),
            root_hash,
            command_line: without_slot(&text("/proc/cmdline")?),
            boot_payload,
            configuration: ConfigReport::load(&device.run_folder()).map(|report| report.digest),
            differences,
            not_looked_into: stores,
        })
    }

    /// SHA-256 of all of it.
    #[must_use]
    pub fn fingerprint(&self) -> FileDigest {
        // Texts and lists of them: nothing here can fail to be JSON.
        FileDigest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// The kernel command line without what the boot loader says of this boot.
fn without_slot(command_line: &str) -> String {
    let of_the_boot = [SLOT_OPTION, START_OPTION, PARTITION_OPTION];
    let parsed = CommandLine::parse(command_line);
    let words = parsed
        .options()
        .filter(|word| !of_the_boot.contains(&word.split('=').next().unwrap_or_default()));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
