//! The arguments of `outcrop bundle`.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use outcrop_release::plan::Link;

use crate::{bundle::OtherSlot, commands, keys::KeySource};

/// What to do with a bundle.
#[derive(Debug, Subcommand)]
pub(super) enum BundleCommand {
    /// Tell what a bundle is, and who says to have signed it; nothing is checked
    Inspect(BundleInspectArgs),
    /// Check every byte of a bundle, and who signed it
    ///
    /// What passes is what a device with that trust file installs, unless its own rules (board, versions, space) forbid.
    Verify(BundleVerifyArgs),
    /// Add signatures to a bundle
    ///
    /// Needs neither the build's machine nor a network: the key can stay where it is safe.
    Sign(BundleSignArgs),
    /// Make deltas: what devices with older releases need of this one
    ///
    /// A device that runs one of those releases then fetches a fraction of what it would fetch without. The deltas become part of the
    /// bundle, or files beside it that a web server or a USB stick has next to it. They are signed as the release is.
    Delta(BundleDeltaArgs),
    /// Tell what installing a bundle costs a device that runs another release
    ///
    /// The figures are those of `outcrop-updater install --dry-run`: bytes to fetch, read and write, requests, and the time to fetch.
    Cost(BundleCostArgs),
}

#[derive(Debug, Args)]
pub(super) struct BundleDeltaArgs {
    /// The bundle of the new release
    bundle: PathBuf,
    /// The bundle of a release that devices run; may repeat
    #[arg(long, value_name = "OLD", required_unless_present = "whole")]
    from: Vec<PathBuf>,
    /// Also all of the release, compressed better than in the bundle: for devices that have little of it
    #[arg(long)]
    whole: bool,
    /// Sign with this private key; may repeat. KEY is a file, env:VARIABLE, or command:COMMAND, which prints it
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<KeySource>,
    /// Write files beside the bundle, and leave it as it is
    #[arg(long)]
    beside: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct BundleCostArgs {
    /// The release that the device runs: its bundle, or its image
    #[arg(long, value_name = "OLD")]
    from: PathBuf,
    /// The bundle that is installed
    #[arg(value_name = "NEW")]
    bundle: PathBuf,
    /// What the device's other slot holds
    #[arg(long, value_name = "empty|old", default_value = "old")]
    other: OtherSlot,
    /// Memory that the device has to spare for packing a kernel itself
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    memory: u64,
    /// Tell the time for a link that brings so many bytes a second
    #[arg(long, value_name = "BYTES", default_value_t = Link::default().rate)]
    rate: NonZeroU64,
    /// Tell the time for a link whose answers begin after so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100)]
    latency: u32,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl From<BundleDeltaArgs> for commands::bundle_delta::Options {
    fn from(arguments: BundleDeltaArgs) -> Self {
        Self {
            bundle: arguments.bundle,
            from: arguments.from,
            whole: arguments.whole,
            keys: arguments.key,
            beside: arguments.beside,
            json: arguments.json,
        }
    }
}

impl From<BundleCostArgs> for commands::bundle::Cost {
    fn from(arguments: BundleCostArgs) -> Self {
        Self {
            from: arguments.from,
            bundle: arguments.bundle,
            other: arguments.other,
            memory: arguments.memory,
            link: Link {
                rate: arguments.rate,
                latency: Duration::from_millis(arguments.latency.into()),
            },
            json: arguments.json,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct BundleInspectArgs {
    /// The bundle
    bundle: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl From<BundleInspectArgs> for commands::bundle::Inspect {
    fn from(arguments: BundleInspectArgs) -> Self {
        Self {
            bundle: arguments.bundle,
            json: arguments.json,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct BundleVerifyArgs {
    /// The bundle
    bundle: PathBuf,
    /// The trust file that the devices have
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
}

impl From<BundleVerifyArgs> for commands::bundle::Verify {
    fn from(arguments: BundleVerifyArgs) -> Self {
        Self {
            bundle: arguments.bundle,
            trust: arguments.trust,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct BundleSignArgs {
    /// The bundle
    bundle: PathBuf,
    /// Sign with this private key; may repeat. KEY is a file, env:VARIABLE, or command:COMMAND, which prints it
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<KeySource>,
}

impl From<BundleSignArgs> for commands::bundle::Sign {
    fn from(arguments: BundleSignArgs) -> Self {
        Self {
            bundle: arguments.bundle,
            keys: arguments.key,
        }
    }
}
