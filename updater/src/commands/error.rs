//! Why a command failed, and the exit code that tells it apart.

use std::io;

use outcrop_release::{journal::JournalError, manifest::ManifestError, slot::Slot, trust::Untrusted};

use super::{ApproveError, NoChannel};
use crate::{
    agent::{MemoryError, TakeUpError},
    attest::AttestError,
    block_disk::OpenError,
    boot_control::ControlError,
    channel::FollowError,
    device::DeviceError,
    device_key::DeviceKeyError,
    durable::DurableError,
    health::HealthError,
    install::{HeadError, InstallError, Refusal, SourceError},
    install_to_disk::ToDiskError,
    join::JoinError,
    journal::KeepError,
    kubernetes::{DrainError, OursError},
    lifecycle::LifecycleError,
    record::StoreError,
    release_file::ReleaseFileError,
    reports::ReportsError,
    state::{SnapshotError, StateError},
    status::StatusError,
    stick::StickError,
};

/// What to do about a release that isn't trusted.
const fn remedy(untrusted: &Untrusted) -> &'static str {
    match untrusted {
        Untrusted::TooFew { .. } => {
            "have it signed by keys of this device's trust file (`outcrop bundle sign`), or update through a release that brought the new keys"
        }
        Untrusted::Manifest(ManifestError::Format(_)) => "install a release in between, with a newer updater",
        Untrusted::Signatures(_) | Untrusted::Mismatch { .. } | Untrusted::Manifest(_) => {
            "take it again from where it was made"
        }
    }
}

/// What to do about a list that doesn't count.
fn follow_remedy(error: &FollowError) -> String {
    match error {
        FollowError::Fetch { channel, .. } => {
            format!("the channel {channel} can't be had; nothing was changed, and it is asked for again")
        }
        FollowError::Refused { channel, source } => {
            format!(
                "the channel {channel} was refused, and nothing was changed; {}",
                source.help()
            )
        }
        FollowError::State(_) => {
            "what was remembered of the channel can't be used; removing it lets older lists count again"
                .to_owned()
        }
    }
}

const fn untrusted_code(untrusted: &Untrusted) -> u8 {
    match untrusted {
        Untrusted::TooFew {
            unknown: 0, signers, ..
        } => match signers.is_empty() {
            true => 33,
            false => 44,
        },
        Untrusted::TooFew { .. } => 45,
        Untrusted::Manifest(ManifestError::Format(_)) => 34,
        Untrusted::Signatures(_) | Untrusted::Mismatch { .. } | Untrusted::Manifest(_) => 46,
    }
}

const fn state_code(error: &StateError) -> u8 {
    match error {
        StateError::Held(_) | StateError::NoData => 50,
        StateError::Busy => 36,
        StateError::Snapshot(
            SnapshotError::Missing(_)
            | SnapshotError::Foreign { .. }
            | SnapshotError::About { .. }
            | SnapshotError::Format { .. },
        ) => 51,
        StateError::Snapshot(_) | StateError::Durable(_) | StateError::Memory(_) => 42,
        StateError::Hook { .. } => 52,
        StateError::Release(_) | StateError::Machine { .. } | StateError::NoDefinition => 1,
    }
}

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The device isn't understood.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The state can't be told.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// What runs can't be told.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// A disk didn't become a device.
    #[error(transparent)]
    ToDisk(#[from] ToDiskError),
    /// The disk can't be had.
    #[error(transparent)]
    Disk(#[from] OpenError),
    /// The boot record.
    #[error(transparent)]
    Record(#[from] StoreError),
    /// A step of a release's way.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// The firmware can't start a slot just once.
    #[error("this device can't try a release; nothing was changed")]
    NoTrial(#[source] ControlError),
    /// The bundle can't be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The web client can't be made.
    #[error("prepare to ask web servers")]
    Web(#[source] io::Error),
    /// The bundle's beginning.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Nobody whom this device trusts has signed it.
    #[error("the release isn't trusted, and nothing was changed: {}", remedy(.0))]
    Untrusted(#[from] Untrusted),
    /// The device refuses the release.
    #[error("refused, and nothing was changed: {0}")]
    Refused(#[from] Refusal),
    /// A check of the recipe says no.
    #[error("refused, and nothing was changed: the check {0}")]
    PreCheck(String),
    /// The installation failed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A metered link's bytes are spent before anything could be written.
    #[error(
        "{0} bytes are a day's, and looking at the release alone takes more: allow more in a day (daily-limit), or install from a stick"
    )]
    TooLittle(u64),
    /// Health checks can't be read.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// A file can't be kept.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// Which cluster this device joins.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The device's Kubernetes can't be asked.
    #[error(transparent)]
    Kubernetes(#[from] OursError),
    /// The node can't be drained.
    #[error(transparent)]
    Drain(#[from] DrainError),
    /// The data that is bound to the release.
    #[error(transparent)]
    State(#[from] StateError),
    /// A trial couldn't begin with a copy of the state.
    #[error("refused before the trial, which begins with a copy of the state")]
    NoRoomForState(#[source] StateError),
    /// No release to go back to.
    #[error("there is no release to go back to: slot {0} holds none that was ever committed")]
    NothingBack(Slot),
    /// Somebody else changes the releases.
    #[error("another installation, commit or rollback is at work on this device: wait until it has ended")]
    Busy,
    /// There is no channel to look at.
    #[error(transparent)]
    NoChannel(#[from] NoChannel),
    /// A channel's list doesn't count.
    #[error("{}", follow_remedy(.0))]
    Follow(#[from] FollowError),
    /// Nothing is approved.
    #[error(transparent)]
    Approve(#[from] ApproveError),
    /// What was approved can't be told.
    #[error(transparent)]
    Agent(#[from] MemoryError),
    /// A stick can't be looked at.
    #[error(transparent)]
    Stick(#[from] StickError),
    /// What the release says of itself.
    #[error(transparent)]
    Release(#[from] ReleaseFileError),
    /// The history can't be read, or isn't what this device wrote.
    #[error(transparent)]
    History(#[from] KeepError),
    /// The history lacks an event that it once had.
    #[error("the history isn't what it was")]
    Journal(#[source] JournalError),
    /// Whether the history had an event can't be told any more.
    #[error(
        "the history is whole, and begins with event {oldest}: whether event {number} was the one that somebody kept can't be told any more; keep the head of a newer one"
    )]
    TooOld {
        /// The event.
        number: u64,
        /// The first that is there.
        oldest: u64,
    },
    /// A report can't be made, kept or sent.
    #[error(transparent)]
    Reports(#[from] ReportsError),
    /// The device's key.
    #[error(transparent)]
    DeviceKey(#[from] DeviceKeyError),
    /// The system can't be restarted.
    #[error("restart the device")]
    Reboot(#[source] io::Error),
    /// Signals can't be heard.
    #[error("prepare to be stopped")]
    Signals(#[source] io::Error),
}

impl From<TakeUpError> for CommandError {
    fn from(error: TakeUpError) -> Self {
        match error {
            TakeUpError::Lifecycle(error) => error.into(),
            TakeUpError::History(error) => error.into(),
        }
    }
}

impl CommandError {
    /// The exit code. `docs/exit-codes-updater.md` lists them.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(refusal) => refusal.exit_code(),
            Self::PreCheck(_) => 32,
            Self::Untrusted(untrusted) => untrusted_code(untrusted),
            Self::Device(DeviceError::NoTrust) => 47,
            Self::Install(InstallError::Budget(_)) | Self::TooLittle(_) => 35,
            Self::Busy => 36,
            Self::NoTrial(_) => 37,
            Self::Install(InstallError::Source(_)) | Self::Source(_) | Self::Head(HeadError::Source(_)) => {
                match self.interrupted() {
                    true => 130,
                    false => 38,
                }
            }
            Self::Install(InstallError::Interrupted) => 130,
            Self::Head(_)
            | Self::Install(
                InstallError::Head(_)
                | InstallError::Index(_)
                | InstallError::Tree { .. }
                | InstallError::TreeLength { .. }
                | InstallError::Plan(_)
                | InstallError::Frame { .. },
            ) => 39,
            Self::Install(
                InstallError::Disk(_)
                | InstallError::Record(_)
                | InstallError::Loader(_)
                | InstallError::Medium { .. },
            )
            | Self::Disk(_)
            | Self::Record(_)
            | Self::Lifecycle(LifecycleError::Record(_) | LifecycleError::Control(_))
            | Self::ToDisk(
                ToDiskError::Io { .. } | ToDiskError::Medium { .. } | ToDiskError::Mke2fs { .. },
            ) => 40,
            Self::ToDisk(ToDiskError::Stopped(_)) => 130,
            Self::ToDisk(_) => 55,
            Self::Install(InstallError::Space { .. }) => 27,
            Self::Install(InstallError::TrialArmed) => 41,
            Self::Install(InstallError::Scratch { .. }) | Self::Durable(_) | Self::Agent(_) => 42,
            Self::Follow(FollowError::Fetch { .. }) => 38,
            Self::Follow(FollowError::Refused { .. }) => 56,
            Self::Follow(FollowError::State(_)) => 42,
            Self::NoChannel(_) => 57,
            Self::Approve(_) => 59,
            Self::Stick(_) => 60,
            Self::Reports(error) => reports_code(error),
            Self::History(error) => history_code(error),
            Self::DeviceKey(error) => key_code(error),
            Self::Journal(_) => 58,
            Self::TooOld { .. } => 64,
            Self::NothingBack(_) => 43,
            Self::NoRoomForState(_) => 49,
            Self::State(error) => state_code(error),
            Self::Kubernetes(_) | Self::Drain(_) => 53,
            Self::Join(JoinError::Durable(_)) => 42,
            Self::Join(_) => 54,
            _ => 1,
        }
    }

    const fn interrupted(&self) -> bool {
        matches!(
            self,
            Self::Source(SourceError::Interrupted)
                | Self::Install(InstallError::Source(SourceError::Interrupted))
                | Self::Head(HeadError::Source(SourceError::Interrupted))
        )
    }
}

const fn reports_code(error: &ReportsError) -> u8 {
    match error {
        ReportsError::Send { .. } | ReportsError::Lost(_) => 38,
        ReportsError::Key(error) => key_code(error),
        ReportsError::Io(_) | ReportsError::Sequence(_) | ReportsError::Sign(_) => 42,
    }
}

const fn history_code(error: &KeepError) -> u8 {
    match error {
        KeepError::Damaged { .. } => 58,
        KeepError::Sign(error) => key_code(error),
        KeepError::Io { .. } => 42,
    }
}

const fn key_code(error: &DeviceKeyError) -> u8 {
    match error {
        DeviceKeyError::Sealed { .. } => 63,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpm::TpmError;

    #[test]
    fn unsigned_too_few_and_foreign_signatures_and_a_changed_manifest_have_exit_codes_of_their_own() {
        let too_few = |signers: &[&str], unknown| Untrusted::TooFew {
            signers: signers.iter().map(|name| (*name).to_owned()).collect(),
            needed: 2,
            unknown,
        };
        let changed = Untrusted::Mismatch {
            name: "key".to_owned(),
        };
        for (untrusted, code, told) in [
            (too_few(&[], 0), 33, "outcrop bundle sign"),
            (too_few(&["one"], 0), 44, "outcrop bundle sign"),
            (too_few(&["one"], 1), 45, "that brought the new keys"),
            (changed, 46, "take it again"),
            (
                Untrusted::Manifest(ManifestError::Format(2)),
                34,
                "a newer updater",
            ),
        ] {
            let error = CommandError::from(untrusted);
            assert_eq!(error.exit_code(), code, "{error}");
            assert!(error.to_string().contains(told), "{error}");
        }
        assert_eq!(CommandError::from(DeviceError::NoTrust).exit_code(), 47);
    }
    #[test]
    fn a_key_that_no_tpm_unseals_has_an_exit_code_of_its_own_whatever_it_was_to_sign() {
        let sealed = || DeviceKeyError::Sealed {
            path: "/var/lib/outcrop/device.key".into(),
            source: TpmError::Missing,
        };
        for error in [
            CommandError::from(sealed()),
            CommandError::from(ReportsError::from(sealed())),
            CommandError::from(KeepError::from(sealed())),
        ] {
            assert_eq!(error.exit_code(), 63, "{error}");
        }
    }
}
