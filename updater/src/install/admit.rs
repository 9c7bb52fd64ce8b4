//! May this device install this release? Decided before anything on the disk changes.

use std::cmp::Ordering;

use outcrop_release::{
    bootrec::{BootRecord, SlotState},
    digest::RootHash,
    manifest::RollbackIndex,
    name::ReleaseName,
    slot::Slot,
    trust::VerifiedRelease,
    verity::{BLOCK_BYTES, Geometry, GeometryError},
};
use semver::Version;

use crate::init::efi::SecureBoot;

/// What the device runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The running release.
    pub release: ReleaseName,
    /// Its rollback index.
    pub rollback_index: RollbackIndex,
    /// This updater's version.
    pub updater: Version,
    /// Its slot.
    pub slot: Slot,
    /// Root hash of what runs.
    pub root_hash: RootHash,
    /// Whether the firmware starts only what is signed.
    pub secure_boot: SecureBoot,
}

/// The space of the slot that is installed to, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// For the boot payload.
    pub boot: u64,
    /// For the root file system.
    pub root: u64,
    /// For its tree.
    pub verity: u64,
}

/// What the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowed {
    /// A version older than the running one.
    pub downgrade: bool,
    /// A release that failed before.
    pub failed: bool,
}

/// Why a device refuses a trusted release. Nothing on the disk has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is another product.
    #[error("the release is {offered}, this device runs {running}: install a release of the same product")]
    Product {
        /// The bundle's.
        offered: String,
        /// The device's.
        running: String,
    },
    /// It is for another kind of device.
    #[error(
        "the release is for {offered}, this device is {running}: take the bundle for this kind of device"
    )]
    Kind {
        /// Architecture and board of the bundle.
        offered: String,
        /// Those of the device.
        running: String,
    },
    /// This updater is too old for it.
    #[error("the release needs updater {needed}, this device has {ours}: install a release in between first")]
    Updater {
        /// The oldest that can.
        needed: Version,
        /// This one.
        ours: Version,
    },
    /// Releases with this index must never run again.
    #[error(
        "the release has rollback index {offered}, this device has committed {ours}: it can't go back behind that"
    )]
    RollbackIndex {
        /// The bundle's.
        offered: u32,
        /// The device's.
        ours: u32,
    },
    /// It is older.
    #[error(
        "the release {offered} is older than {running}, which runs: --allow-downgrade installs it all the same"
    )]
    Older {
        /// The bundle's.
        offered: Version,
        /// The device's.
        running: Version,
    },
    /// It is what runs.
    #[error("the release {0} is what this device runs already")]
    Running(Version),
    /// It is in the other slot already, and its trial is armed.
    #[error("the release {0} is installed already, and tried at the next restart")]
    Installed(Version),
    /// It has the running release's version, and isn't it.
    #[error(
        "the release {0} has the version that runs and another content: give each release a version of its own, or use --allow-downgrade"
    )]
    SameVersion(Version),
    /// What runs isn't the default.
    #[error("what runs isn't the default: wait until its trial is committed, or restart into the default")]
    OnTrial,
    /// Another release waits for its trial in the slot that would be written.
    #[error(
        "another release waits for its trial: restart the device into it, or take it back with `outcrop-updater rollback`"
    )]
    Armed,
    /// The bundle isn't the one that the channel's list means.
    #[error("the bundle is a release {0} that the channel doesn't offer: publish it again")]
    NotOffered(Version),
    /// It was tried here and failed, or somebody went back from it.
    #[error("the release {0} failed on this device before, or was given up: --retry-failed tries it again")]
    Failed(Version),
    /// Its Kubernetes can't take over this device's.
    #[error(
        "the release has Kubernetes {to}, this device's state is {from}'s: take a release with the same minor version or the next, or use --allow-kubernetes-skip"
    )]
    Kubernetes {
        /// The device's.
        from: Version,
        /// The bundle's.
        to: Version,
    },
    /// It doesn't fit.
    #[error(
        "the release's {what} has {needed} bytes, its slot {space}: build it smaller, or flash a disk with larger slots"
    )]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its length.
        needed: u64,
        /// The slot's.
        space: u64,
    },
    /// Its boot payload is signed for Secure Boot, and the slot isn't the one that it was signed for.
    #[error(
        "the release's boot payload is signed for a slot of {signed} bytes, this device's has {space}, and firmware wouldn't start it: build it with this device's `boot-slot`"
    )]
    SignedForOtherSlot {
        /// Length of the payload, its signature at the end.
        signed: u64,
        /// The slot's.
        space: u64,
    },
    /// The firmware starts only what is signed, and its boot payload isn't.
    #[error(
        "the release {0} isn't signed for Secure Boot, with which this device runs, and firmware wouldn't start it: build it from a recipe with [secure-boot], signed by a key that this device's firmware knows"
    )]
    NotSigned(Version),
    /// Its payloads can't have a hash tree.
    #[error("the release's payloads can't be: {0}")]
    Geometry(GeometryError),
}

impl Refusal {
    /// The exit code that tells it apart.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Product { .. } => 20,
            Self::Kind { .. } => 21,
            Self::Updater { .. } => 22,
            Self::RollbackIndex { .. } => 23,
            Self::Older { .. } => 24,
            Self::Running(_) => 25,
            Self::Failed(_) => 26,
            Self::Installed(_) => 29,
            Self::SameVersion(_) => 30,
            Self::OnTrial => 31,
            Self::Armed => 41,
            Self::TooLarge { .. } => 27,
            Self::Geometry(_) => 28,
            Self::SignedForOtherSlot { .. } => 61,
            Self::NotSigned(_) => 62,
            Self::Kubernetes { .. } => 48,
            Self::NotOffered(_) => 56,
        }
    }
}

/// Decides.
///
/// # Errors
/// The first reason against it.
pub fn admit(
    offered: &VerifiedRelease,
    device: &Running,
    record: &BootRecord,
    space: &Space,
    allowed: Allowed,
) -> Result<(), Refusal> {
    let manifest = offered.manifest();
    let (new, old) = (&manifest.release, &device.release);
    let kind = |name: &ReleaseName| format!("{} {}", name.architecture, name.board);
    if new.image != old.image {
        return Err(Refusal::Product {
            offered: new.image.to_string(),
            running: old.image.to_string(),
        });
    }
    if kind(new) != kind(old) {
        return Err(Refusal::Kind {
            offered: kind(new),
            running: kind(old),
        });
    }
    if manifest.minimum_updater.cmp_precedence(&device.updater).is_gt() {
        return Err(Refusal::Updater {
            needed: manifest.minimum_updater.clone(),
            ours: device.updater.clone(),
        });
    }
    if manifest.rollback_index < device.rollback_index {
        return Err(Refusal::RollbackIndex {
            offered: manifest.rollback_index.0,
            ours: device.rollback_index.0,
        });
    }
    if record.default != device.slot {
        return Err(Refusal::OnTrial);
    }
    if record.slot(device.slot).release == offered.digest() || manifest.root.root_hash == device.root_hash {
        return Err(Refusal::Running(new.version.clone()));
    }
    match new.version.cmp_precedence(&old.version) {
        Ordering::Less if !allowed.downgrade => {
            return Err(Refusal::Older {
                offered: new.version.clone(),
                running: old.version.clone(),
            });
        }
        Ordering::Equal if !allowed.downgrade => return Err(Refusal::SameVersion(new.version.clone())),
        _ => {}
    }
    let there = record.slot(device.slot.other());
    if there.release == offered.digest() {
        match there.state {
            SlotState::Bad(_) if !allowed.failed => return Err(Refusal::Failed(new.version.clone())),
            // Writing it again would forget how often its trial was started.
            SlotState::Written if record.trial.is_some() => {
                return Err(Refusal::Installed(new.version.clone()));
            }
            SlotState::Bad(_) | SlotState::Empty | SlotState::Written | SlotState::Good => {}
        }
    }
    if record
        .trial
        .is_some_and(|trial| trial.slot == device.slot.other())
    {
        return Err(Refusal::Armed);
    }
    starts(offered, device.secure_boot).and_then(|()| fits(offered, space))
}

/// Whether the firmware would start it, as far as the manifest tells.
fn starts(offered: &VerifiedRelease, secure_boot: SecureBoot) -> Result<(), Refusal> {
    let manifest = offered.manifest();
    // It says by whom a payload is signed: one that says nothing is of a payload that nobody signed.
    if secure_boot == SecureBoot::On && manifest.secure_boot.is_none() {
        return Err(Refusal::NotSigned(manifest.release.version.clone()));
    }
    Ok(())
}

fn fits(offered: &VerifiedRelease, space: &Space) -> Result<(), Refusal> {
    let manifest = offered.manifest();
    let geometry = Geometry::new(manifest.root.bytes / BLOCK_BYTES as u64).map_err(Refusal::Geometry)?;
    Geometry::new(manifest.boot.bytes / BLOCK_BYTES as u64).map_err(Refusal::Geometry)?;
    for (what, needed, space) in [
        ("boot payload", manifest.boot.bytes, space.boot),
        ("root file system", manifest.root.bytes, space.root),
        ("hash tree", geometry.partition_bytes(), space.verity),
    ] {
        if needed > space {
            return Err(Refusal::TooLarge { what, needed, space });
        }
    }
    // Firmware looks for the signature at the end of the file, which is as long as the slot.
    if manifest.secure_boot.is_some() && manifest.boot.bytes != space.boot {
        return Err(Refusal::SignedForOtherSlot {
            signed: manifest.boot.bytes,
            space: space.boot,
        });
    }
    Ok(())
}
