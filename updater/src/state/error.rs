//! Why the state of a device can't be looked after.

use std::{io, path::PathBuf};

use super::{memory::MemoryError, plan::Hold, snapshots::SnapshotError};
use crate::{durable::DurableError, release_file::ReleaseFileError};

/// The state can't be looked after; Kubernetes mustn't start.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// What the release says of it.
    #[error(transparent)]
    Release(#[from] ReleaseFileError),
    /// The machine's identity can't be read.
    #[error("read {}", path.display())]
    Machine {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The release binds no state.
    #[error("this release has no [state]: nothing of the device's data is bound to it")]
    NoDefinition,
    /// What is known of the state.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A file can't be kept.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The operator has to choose.
    #[error(
        "Kubernetes stays stopped: {0}; choose with `outcrop-updater state keep` or `outcrop-updater state restore NUMBER`"
    )]
    Held(#[from] Hold),
    /// `/var` is in memory.
    #[error("Kubernetes stays stopped: the data partition isn't mounted, and its state is there")]
    NoData,
    /// A hook failed.
    #[error("the hook {name}: {why}")]
    Hook {
        /// `pre-start` or `post-rollback`.
        name: &'static str,
        /// Why.
        why: String,
    },
    /// A snapshot that is needed would be removed, or state exchanged under a trial.
    #[error("a trial works on the state: wait until it is committed or given up")]
    Busy,
}
