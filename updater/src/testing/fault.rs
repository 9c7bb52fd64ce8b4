//! What may be wrong with a played device.

use jiff::Timestamp;

/// What is wrong with a device, or around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// Bundles can't be had.
    NoBundles,
    /// The same until this moment.
    NoBundlesUntil(Timestamp),
    /// Nothing can be had at all until this moment.
    OfflineUntil(Timestamp),
    /// It trusts other keys.
    Untrusting,
    /// The slot that doesn't run can't be written.
    BadDisk,
    /// The new release panics here.
    Panics,
    /// A health check doesn't hold with it.
    FailsCheck,
    /// Its Kubernetes doesn't come up.
    FailsKubernetes,
    /// Its power goes in each trial.
    LosesPower,
    /// Somebody has changed files on it.
    Drifted,
    /// Its reports don't arrive after this moment.
    SilentFrom(Timestamp),
}

/// Between the boot record and what is remembered: where the power goes, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A release is written.
    Written,
    Committed,
    Failed,
    RolledBack,
}

/// How what a played device does is cut off: no panic that anybody should read about.
pub(crate) struct PowerCut;
