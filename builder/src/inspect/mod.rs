//! What a disk image holds, read from nothing but the image.

pub mod error;
pub mod files;
pub mod image;
pub mod packages;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;

use std::path::Path;

use outcrop_release::{cmdline::ROOT_HASH_OPTION, partition::Partition, slot::Slot};
use serde::Serialize;

pub use self::error::{Fault, ImageError};
use self::{
    files::FileLine,
    image::{DiskImage, Payload, Verity},
    packages::PackageFacts,
};
use crate::progress::Progress;

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
    read(&image, wanted, progress).map_err(|fault| fault.of(path))
}

fn read(image: &DiskImage, wanted: Wanted, progress: &dyn Progress) -> Result<Inspection, Fault> {
    let payload = image.payload(Slot::A)?;
    let root = image.root(Slot::A)?;
    let verity = image.verity(Slot::A)?;
    let os_release = root.read_file(&path("usr/lib/os-release")?, MAX_OS_RELEASE_BYTES)?;
    let os_release = String::from_utf8_lossy(&os_release.unwrap_or_default()).into_owned();
    let mut packages = packages::database(&root)?;
    packages::measure(&mut packages, &root)?;
    packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
    let files = wanted.files.then(|| files::list(&root, wanted.digests, progress));
    Ok(Inspection {
        problems: problems(&payload, verity.as_ref(), root.size_bytes(), &os_release),
        release: release(&payload, verity.as_ref(), &os_release),
        bytes: image.bytes(),
        disk: image.table().disk.to_string(),
        partitions: partitions(image),
        slots: slots(image)?,
        packages,
        files: files.transpose()?,
    })
}

fn path(text: &str) -> Result<crate::tree::TreePath, Fault> {
    text.parse().map_err(|_| Fault::Status)
}

fn release(payload: &Payload, verity: Option<&Verity>, os_release: &str) -> ReleaseFacts {
    let value = |key| variable(os_release, key).unwrap_or_default();
    let uki = &payload.uki;
    ReleaseFacts {
        name: value("IMAGE_ID"),
        version: value("IMAGE_VERSION"),
        architecture: uki.architecture.to_string(),
        pretty_name: value("PRETTY_NAME"),
        kernel: uki.uname.trim_end_matches(['\n', '\0']).to_owned(),
        command_line: command_line(payload).map(str::to_owned).collect(),
        root_hash: verity
            .map(|verity| verity.root_hash.to_string())
            .unwrap_or_default(),
    }
}

fn command_line(payload: &Payload) -> impl Iterator<Item = &str> {
    let text = payload.uki.command_line.trim_end_matches('\0');
    text.split_ascii_whitespace()
}

/// A variable of os-release(5).
fn variable(os_release: &str, key: &str) -> Option<String> {
    let mut lines = os_release.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    shlex::split(value)?.into_iter().next()
}

/// What in slot A contradicts itself.
fn problems(payload: &Payload, verity: Option<&Verity>, root_bytes: u64, os_release: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let named =
        command_line(payload).find_map(|option| option.strip_prefix(ROOT_HASH_OPTION)?.strip_prefix('='));
    match verity {
        None => problems.push("slot a has no hash tree: it is empty or half-written".to_owned()),
        Some(verity) => {
            let hash = verity.root_hash.to_string();
            if named != Some(&hash) {
                let named = named.unwrap_or("none");
                problems.push(format!(
                    "the boot payload names root hash {named}, the tree has {hash}"
                ));
            }
            let hashed = verity.superblock.geometry.data_bytes();
            if hashed != root_bytes {
                problems.push(format!(
                    "the root file system has {root_bytes} bytes, its tree covers {hashed}"
                ));
            }
        }
    }
    for key in ["IMAGE_ID", "IMAGE_VERSION"] {
        let value = variable(os_release, key);
        if value.is_none() || value != variable(&payload.uki.os_release, key) {
            problems.push(format!(
                "{key} of os-release is missing, or the boot payload has another one"
            ));
        }
    }
    problems
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

fn slots(image: &DiskImage) -> Result<Vec<SlotFacts>, Fault> {
    let facts = |slot| {
        let verity = image.verity(slot)?;
        let boot = match verity {
            None => None,
            Some(_) => Some(image.payload(slot)?),
        };
        Ok(SlotFacts {
            slot: slot.as_str().to_owned(),
            root_hash: verity.map(|verity| verity.root_hash.to_string()),
            root: Fill {
                used: verity.map_or(0, |verity| verity.superblock.geometry.data_bytes()),
                total: image.entry(Partition::Root(slot))?.extent.len,
            },
            boot: boot.map(|payload| Fill {
                used: payload.uki.len,
                total: payload.slot_bytes,
            }),
        })
    };
    Slot::ALL.into_iter().map(facts).collect()
}
