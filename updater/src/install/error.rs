//! Why an installation failed.

use std::io;

use outcrop_release::{
    bootrec::TransitionError,
    bundle::{IndexError, MemberName},
    plan::{OverBudget, PlanError, survey::SurveyError},
    verity::{GeometryError, TreeError},
};

use super::{head::HeadError, source::SourceError};
use crate::{
    boot_control::ControlError,
    boot_partition::BootPartitionError,
    disk::{Area, DiskError},
    record::StoreError,
};

/// Why an installation failed. Unless it says otherwise, the slot that was written to is marked empty, and running the same
/// installation again takes up where this one ended.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The bundle's bytes.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The bundle's beginning.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The disk.
    #[error("the disk fails")]
    Disk(#[from] DiskError),
    /// What was written as a boot partition isn't one that the boot loader can start from.
    #[error(transparent)]
    BootPartition(#[from] BootPartitionError),
    /// The boot record.
    #[error(transparent)]
    Record(#[from] StoreError),
    /// The boot record doesn't allow it.
    #[error("the boot record")]
    Transition(#[from] TransitionError),
    /// The boot loader still falls back to the slot.
    #[error(transparent)]
    Loader(#[from] ControlError),
    /// The frame table.
    #[error("the bundle's frame table")]
    Index(#[from] IndexError),
    /// The payloads can't have a tree.
    #[error("the release's payloads")]
    Geometry(#[from] GeometryError),
    /// A hash tree isn't what the manifest says.
    #[error("the hash tree of the bundle's {payload}")]
    Tree {
        /// Whose.
        payload: MemberName,
        /// Why.
        source: TreeError,
    },
    /// The hash trees have another length than their payloads ask for.
    #[error("the bundle's hash trees have {found} bytes, its payloads ask for {expected}")]
    TreeLength {
        /// What the payloads ask for.
        expected: u64,
        /// What the manifest says.
        found: u64,
    },
    /// Tree and frames don't belong together.
    #[error("plan the installation")]
    Plan(#[from] PlanError),
    /// A slot has less space than the payload needs.
    #[error("{area} has {space} bytes, the release needs {needed}")]
    Space {
        /// Where.
        area: Area,
        /// What it has.
        space: u64,
        /// What is needed.
        needed: u64,
    },
    /// The firmware was told to start the other slot next.
    #[error(
        "a trial of the other slot is armed: restart the device, or roll back, before another release is installed"
    )]
    TrialArmed,
    /// Too much would be fetched.
    #[error(transparent)]
    Budget(#[from] OverBudget),
    /// There is no room to keep the hash trees while they are fetched.
    #[error(
        "keep the release's hash trees ({bytes} bytes) while it is installed: /var has no room, or can't be written"
    )]
    Scratch {
        /// How long they are.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// A frame isn't what the frame table says.
    #[error("frame {frame} of the bundle's {payload} is damaged: {why}")]
    Frame {
        /// Whose.
        payload: MemberName,
        /// Its number.
        frame: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What was written isn't on the medium.
    #[error("block {block} of {area} was written and can't be read back: the disk is failing")]
    Medium {
        /// Where.
        area: Area,
        /// Which block of 4096 bytes.
        block: u64,
    },
    /// The user, or the system that shuts down, asked to stop.
    #[error("interrupted: run the same installation again to go on")]
    Interrupted,
}

impl From<SurveyError> for InstallError {
    fn from(error: SurveyError) -> Self {
        match error {
            SurveyError::Index(error) => error.into(),
            SurveyError::Geometry(error) => error.into(),
            SurveyError::Tree { payload, source } => Self::Tree {
                payload: payload.member(),
                source,
            },
            SurveyError::TreeLength { expected, found } => Self::TreeLength { expected, found },
            SurveyError::Plan(error) => error.into(),
            SurveyError::Budget(error) => error.into(),
        }
    }
}
