//! What a disk image holds, read from nothing but the image.

pub mod error;
pub mod files;
pub mod packages;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;

use std::{path::Path, sync::Arc};

use outcrop_release::{partition::Partition, slot::Slot};
use serde::Serialize;

pub use self::error::{Fault, ImageError};
use self::{files::FileLine, packages::PackageFacts};
use crate::{
    disk::read::{BootFacts, DiskImage, RootFacts, SlotFacts as Slots},
    erofs::Reader,
    progress::Progress,
    read_at::{FileSource, Window},
    secure_boot::{self, Certificate},
    tree::TreePath,
};

/// The root file system of a slot, in its partition.
pub type RootReader = Reader<Window<Arc<FileSource>>>;

/// Says which release this is: os-release(5).
const OS_RELEASE: &str = "usr/lib/os-release";
/// Longest os-release that is read.
const MAX_OS_RELEASE_BYTES: u64 = 64 << 10;

/// What is looked at beside the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Every file of the root file system.
    pub files: bool,
    /// The SHA-256 of each of them: reads them all.
    pub digests: bool,
}

/// What an image holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The release in slot A, the one the image was built with.
    pub release: ReleaseFacts,
    /// What contradicts itself; empty for a sound image. Not every block is read: `veritysetup verify` does that.
    pub problems: Vec<String>,
    /// Length of the image in bytes, holes included.
    pub bytes: u64,
    /// GUID of the disk.
    pub disk: String,
    /// The partitions, by number.
    pub partitions: Vec<PartitionFacts>,
    /// Both slots.
    pub slots: Vec<SlotFacts>,
    /// The packages of slot A, by name.
    pub packages: Vec<PackageFacts>,
    /// The files of slot A's root file system, by path, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileLine>>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseFacts {
    /// `IMAGE_ID` of os-release.
    pub name: String,
    /// `IMAGE_VERSION` of os-release.
    pub version: String,
    /// What it runs on.
    pub architecture: String,
    /// `PRETTY_NAME` of os-release.
    pub pretty_name: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Kernel command line.
    pub command_line: Vec<String>,
    /// Root hash of the root file system, 64 hexadecimal digits.
    pub root_hash: String,
    /// Whose signature for Secure Boot the boot payload has; none when it isn't signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<SignerFacts>,
}

/// Who signed a boot payload for Secure Boot. The signature holds; whether a machine trusts it is the machine's to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignerFacts {
    /// Subject of the certificate.
    pub subject: String,
    /// SHA-256 of the certificate, 64 hexadecimal digits.
    pub sha256: String,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionFacts {
    /// Number in the table.
    pub number: u32,
    /// Label.
    pub label: String,
    /// Where it begins, in bytes.
    pub start: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Type GUID.
    pub type_guid: String,
    /// Its own GUID.
    pub guid: String,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotFacts {
    /// `a` or `b`.
    pub slot: String,
    /// Root hash; none when the slot is empty.
    pub root_hash: Option<String>,
    /// How full the root partition is.
    pub root: Fill,
    /// How full the place of the boot payload is; none when the slot is empty.
    pub boot: Option<Fill>,
}

/// How much of a fixed place is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fill {
    /// Bytes in use.
    pub used: u64,
    /// Bytes there are.
    pub total: u64,
}

/// Reads the image at `path`.
///
/// # Errors
/// When it isn't an image of Outcrop's, or too damaged to be understood; or the user asked to stop.
pub fn inspect(path: &Path, wanted: Wanted, progress: &dyn Progress) -> Result<Inspection, ImageError> {
    let image = DiskImage::open(path)?;
    let both = [image.slot(Slot::A)?, image.slot(Slot::B)?];
    let slots = slots(&image, &both);
    let root = root(&image, path)?;
    let [built, _] = &both;
    let boot = built.boot.as_ref().ok_or_else(|| Fault::NoPayload.of(path))?;
    let signature = image.boot_signature(Slot::A)?;
    let release = Release {
        root: &root,
        boot,
        hashed: built.root.as_ref(),
        signature: signature.as_ref(),
    };
    let read = || {
        let os_release = release.os_release()?;
        let files = wanted.files.then(|| files::list(&root, wanted.digests, progress));
        Ok(Inspection {
            release: release.facts(&os_release),
            problems: release.problems(&os_release),
            bytes: image.len(),
            disk: image.table().disk.to_string(),
            partitions: partitions(&image),
            slots,
            packages: packages::weighed(&root)?,
            files: files.transpose()?,
        })
    };
    read().map_err(|fault: Fault| fault.of(path))
}

/// Opens the root file system of slot A of the image at `path`.
///
/// # Errors
/// When it is damaged.
pub fn root(image: &DiskImage, path: &Path) -> Result<RootReader, ImageError> {
    let partition = image.partition(Partition::Root(Slot::A))?;
    Reader::open(partition).map_err(|error| Fault::from(error).of(path))
}

/// The parts of the release in slot A.
struct Release<'a> {
    root: &'a RootReader,
    boot: &'a BootFacts,
    hashed: Option<&'a RootFacts>,
    signature: Option<&'a Result<Certificate, secure_boot::Fault>>,
}

impl Release<'_> {
    fn os_release(&self) -> Result<String, Fault> {
        let path: TreePath = OS_RELEASE.parse().map_err(|_| Fault::Status)?;
        let bytes = self
            .root
            .read_file(&path, MAX_OS_RELEASE_BYTES)?
            .unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn facts(&self, os_release: &str) -> ReleaseFacts {
        let value = |key| variable(os_release, key).unwrap_or_default();
        let payload = &self.boot.payload;
        ReleaseFacts {
            name: value("IMAGE_ID"),
            version: value("IMAGE_VERSION"),
            architecture: payload.architecture.to_string(),
            pretty_name: value("PRETTY_NAME"),
            kernel: payload.uname.trim_end_matches(['\n', '\0']).to_owned(),
            command_line: self.boot.command_line.options().map(str::to_owned).collect(),
            root_hash: self
                .hashed
                .map(|root| root.root_hash.to_string())
                .unwrap_or_default(),
            secure_boot: self
                .signature
                .and_then(|found| found.as_ref().ok())
                .map(|signer| SignerFacts {
                    subject: signer.subject(),
                    sha256: signer.fingerprint().to_string(),
                }),
        }
    }

    /// What contradicts itself.
    fn problems(&self, os_release: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(Err(fault)) = self.signature {
            problems.push(format!("the boot payload's signature for Secure Boot: {fault}"));
        }
        match self.hashed {
            None => problems.push("slot a has no hash tree: it is empty or half-written".to_owned()),
            Some(hashed) => problems.extend(self.hash_problems(hashed)),
        }
        for key in ["IMAGE_ID", "IMAGE_VERSION"] {
            let value = variable(os_release, key);
            if value.is_none() || value != variable(&self.boot.payload.os_release, key) {
                problems.push(format!(
                    "{key} of os-release is missing, or the boot payload has another one"
                ));
            }
        }
        problems
    }

    fn hash_problems(&self, hashed: &RootFacts) -> Vec<String> {
        let mut problems = Vec::new();
        let found = hashed.root_hash;
        match self.boot.command_line.root_hash() {
            Ok(named) if named == found => {}
            Ok(named) => problems.push(format!(
                "the boot payload names root hash {named}, the tree has {found}"
            )),
            Err(error) => problems.push(format!("the boot payload names no root hash: {error}")),
        }
        let (covered, bytes) = (hashed.superblock.geometry.data_bytes(), self.root.size_bytes());
        if covered != bytes {
            problems.push(format!(
                "the root file system has {bytes} bytes, its tree covers {covered}"
            ));
        }
        problems
    }
}

/// A variable of os-release(5).
fn variable(os_release: &str, key: &str) -> Option<String> {
    let mut lines = os_release.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    shlex::split(value)?.into_iter().next()
}

fn partitions(image: &DiskImage) -> Vec<PartitionFacts> {
    let mut partitions: Vec<PartitionFacts> = image
        .table()
        .entries
        .iter()
        .map(|entry| PartitionFacts {
            number: entry.number,
            label: entry.label.clone(),
            start: entry.extent.start,
            bytes: entry.extent.len,
            type_guid: entry.type_guid.to_string(),
            guid: entry.guid.to_string(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.number);
    partitions
}

fn slots(image: &DiskImage, both: &[Slots; 2]) -> Vec<SlotFacts> {
    let facts = |(slot, found): (Slot, &Slots)| {
        let used = found
            .root
            .as_ref()
            .map_or(0, |root| root.superblock.geometry.data_bytes());
        let extent = image
            .table()
            .entry(Partition::Root(slot).number())
            .map(|entry| entry.extent);
        SlotFacts {
            slot: slot.as_str().to_owned(),
            root_hash: found.root.as_ref().map(|root| root.root_hash.to_string()),
            root: Fill {
                used,
                total: extent.map_or(0, |extent| extent.len),
            },
            boot: found.boot.as_ref().map(|boot| Fill {
                used: boot.payload.len,
                total: boot.slot_bytes,
            }),
        }
    };
    Slot::ALL.into_iter().zip(both).map(facts).collect()
}
