//! What becomes of the state at a boot. Decided from what is known alone.
//!
//! A snapshot is brought back only where the trial that followed it ended without a commit: never after one.

use semver::Version;

use super::{
    memory::{Memory, Owner, Phase},
    snapshots::SnapshotId,
};

/// What the release that has just started is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// The release.
    pub running: Owner,
    /// Whether this boot is its trial.
    pub on_trial: bool,
    /// What became of the release whose trial was the last to touch the state.
    pub trial: TrialFate,
}

/// What became of a trial, as the boot record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialFate {
    /// Its release was committed, whatever came later.
    Committed,
    /// It ended without a commit, or is to be tried again.
    NotCommitted,
    /// The boot record doesn't know the release any more.
    Unknown,
}

/// What to do before Kubernetes starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: what runs goes on with its own state.
    Start,
    /// What runs takes the state over: nobody had it, or a release of the same Kubernetes did.
    Adopt,
    /// A trial begins: the state is copied first.
    Snapshot,
    /// The trial goes on after a power cut: the copy was taken before its first start, and stays.
    GoOn,
    /// The trial was committed: the state is its release's.
    Close,
    /// The trial ended without a commit: the copy from before it comes back.
    Restore(SnapshotId),
    /// A power cut came while a copy was being brought back.
    FinishRestore,
    /// Kubernetes mustn't start.
    Hold(Hold),
}

/// Why Kubernetes stays stopped until the operator chooses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// The state was written by a newer one.
    #[error("the state is Kubernetes {state}'s, and this release has {ours}, which can't read it")]
    Older {
        /// The one that wrote it.
        state: Version,
        /// The running release's.
        ours: Version,
    },
    /// Nobody knows whether the trial that wrote the state was committed.
    #[error("release {0} worked on the state, and nothing tells whether its trial was committed")]
    Unknown(String),
}

/// The next thing to do. Where it changes what is known, ask again.
#[must_use]
pub fn next(memory: &Memory, now: &Now) -> Step {
    match &memory.phase {
        Phase::Restoring { .. } => Step::FinishRestore,
        Phase::Trial { of, .. } if of.release.digest == now.running.release.digest => match now.on_trial {
            true => Step::GoOn,
            false => Step::Close,
        },
        Phase::Trial { of, snapshot, .. } => match now.trial {
            TrialFate::Committed => Step::Close,
            TrialFate::NotCommitted => Step::Restore(*snapshot),
            TrialFate::Unknown => Step::Hold(Hold::Unknown(of.release.version.clone())),
        },
        Phase::Settled if now.on_trial => Step::Snapshot,
        Phase::Settled => settled(memory.owner.as_ref(), &now.running),
    }
}

fn settled(owner: Option<&Owner>, running: &Owner) -> Step {
    let Some(owner) = owner else { return Step::Adopt };
    if let (Some(state), Some(ours)) = (&owner.kubernetes, &running.kubernetes)
        && (ours.major, ours.minor) < (state.major, state.minor)
    {
        return Step::Hold(Hold::Older {
            state: state.clone(),
            ours: ours.clone(),
        });
    }
    if owner == running {
        Step::Start
    } else {
        Step::Adopt
    }
}

/// Whether a device with Kubernetes `from` may be updated to one with `to`: the same minor version or the next.
///
/// Source: Kubernetes, "Version Skew Policy", "Supported component upgrade order": the API server must not skip minor versions.
#[must_use]
pub const fn is_neighbour(from: &Version, to: &Version) -> bool {
    from.major == to.major && (to.minor == from.minor || to.minor == from.minor.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::KnownRelease;

    fn owner(version: &str, kubernetes: Option<Version>) -> Owner {
        Owner {
            release: KnownRelease {
                version: version.to_owned(),
                digest: format!("digest of {version}"),
            },
            kubernetes,
        }
    }

    fn kube(minor: u64) -> Option<Version> {
        Some(Version::new(1, minor, 0))
    }

    fn settled_by(owner: Owner) -> Memory {
        Memory {
            owner: Some(owner),
            ..Memory::default()
        }
    }

    fn tried_by(of: Owner) -> Memory {
        Memory {
            owner: Some(owner("1", kube(20))),
            phase: Phase::Trial {
                snapshot: SnapshotId::FIRST,
                of,
                ready: true,
            },
            ..Memory::default()
        }
    }

    fn now(running: Owner, on_trial: bool, trial: TrialFate) -> Now {
        Now {
            running,
            on_trial,
            trial,
        }
    }

    #[test]
    fn the_first_release_of_a_device_takes_whatever_state_there_is() {
        let first = now(owner("1", kube(20)), false, TrialFate::Unknown);
        assert_eq!(next(&Memory::default(), &first), Step::Adopt);
        assert_eq!(next(&settled_by(first.running.clone()), &first), Step::Start);
    }

    #[test]
    fn every_trial_takes_a_snapshot_of_its_own_and_keeps_it_when_it_is_started_again() {
        let trial = now(owner("2", kube(21)), true, TrialFate::NotCommitted);
        assert_eq!(next(&settled_by(owner("1", kube(20))), &trial), Step::Snapshot);
        assert_eq!(next(&settled_by(trial.running.clone()), &trial), Step::Snapshot);
        assert_eq!(next(&Memory::default(), &trial), Step::Snapshot);
        assert_eq!(next(&tried_by(trial.running.clone()), &trial), Step::GoOn);
    }

    #[test]
    fn only_a_trial_that_ended_without_a_commit_is_undone() {
        let memory = tried_by(owner("2", kube(21)));
        let back = |fate| next(&memory, &now(owner("1", kube(20)), false, fate));
        assert_eq!(back(TrialFate::NotCommitted), Step::Restore(SnapshotId::FIRST));
        assert_eq!(back(TrialFate::Committed), Step::Close);
        assert_eq!(
            back(TrialFate::Unknown),
            Step::Hold(Hold::Unknown("2".to_owned()))
        );
        let committed = now(owner("2", kube(21)), false, TrialFate::Committed);
        assert_eq!(next(&memory, &committed), Step::Close);
        // The trial of a third release comes after the second was given up: the second's work is undone first.
        let third = now(owner("3", kube(21)), true, TrialFate::NotCommitted);
        assert_eq!(next(&memory, &third), Step::Restore(SnapshotId::FIRST));
    }

    #[test]
    fn a_return_after_the_commit_keeps_the_state_and_holds_an_older_kubernetes_back() {
        let memory = settled_by(owner("2", kube(21)));
        let back = |kubernetes| next(&memory, &now(owner("1", kubernetes), false, TrialFate::Committed));
        assert_eq!(back(kube(21)), Step::Adopt);
        assert_eq!(back(None), Step::Adopt);
        assert!(matches!(back(kube(20)), Step::Hold(Hold::Older { .. })));
        assert!(matches!(
            back(Some(Version::new(0, 99, 0))),
            Step::Hold(Hold::Older { .. })
        ));
    }

    #[test]
    fn a_restore_that_was_cut_off_is_finished_before_anything_else() {
        let memory = Memory {
            phase: Phase::Restoring {
                snapshot: SnapshotId::FIRST,
                aside: SnapshotId::FIRST.next(),
                of: None,
            },
            ..Memory::default()
        };
        for on_trial in [false, true] {
            let now = now(owner("1", None), on_trial, TrialFate::Unknown);
            assert_eq!(next(&memory, &now), Step::FinishRestore);
        }
    }

    #[test]
    fn kubernetes_goes_from_minor_to_minor() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        for (from, to, may) in [
            ("1.20.2", "1.20.9", true),
            ("1.20.9", "1.20.2", true),
            ("1.20.2", "1.21.0+k3s1", true),
            ("1.20.2", "1.22.0", false),
            ("1.20.2", "1.19.9", false),
            ("1.20.2", "2.20.0", false),
        ] {
            assert_eq!(is_neighbour(&version(from), &version(to)), may, "{from} {to}");
        }
    }
}
