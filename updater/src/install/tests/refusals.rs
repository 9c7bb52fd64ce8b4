//! What a device doesn't install, and in which case it does.

use outcrop_release::{
    bootrec::{BadReason, BootRecord, Payload, SlotRecord, SlotState},
    digest::{FileDigest, RootHash},
    manifest::RollbackIndex,
    slot::Slot,
    trust::{VerifiedRelease, verify},
};
use semver::Version;

use super::super::{Allowed, Refusal, Running, Space, admit};
use crate::{
    init::efi::SecureBoot,
    testing::bundle::{Bundle, Release, trust},
};

const NONE: Allowed = Allowed {
    downgrade: false,
    failed: false,
};

/// A signed release, changed before it is signed.
fn offered(change: impl Fn(&mut Bundle)) -> VerifiedRelease {
    let mut bundle = Bundle::of(&Release::new(5));
    change(&mut bundle);
    bundle.seal();
    verify(&bundle.members[0].1, &bundle.members[1].1, &trust()).unwrap()
}

/// A device that runs version 1.4.0 from slot A.
fn running() -> Running {
    let manifest = Bundle::of(&Release::new(4)).manifest;
    Running {
        release: manifest.release,
        rollback_index: RollbackIndex(3),
        updater: Version::new(0, 1, 0),
        slot: Slot::A,
        root_hash: RootHash::of(b"what runs"),
        secure_boot: SecureBoot::Off,
    }
}

fn record() -> BootRecord {
    BootRecord::fresh(SlotRecord {
        state: SlotState::Good,
        ..SlotRecord::EMPTY
    })
}

fn space(bytes: u64) -> Space {
    Space {
        boot: bytes,
        root: bytes,
        verity: bytes,
    }
}

fn judge(release: &VerifiedRelease, record: &BootRecord, allowed: Allowed) -> Result<(), Refusal> {
    admit(release, &running(), record, &space(1 << 30), allowed)
}

fn with_index(index: u32) -> impl Fn(&mut Bundle) {
    move |bundle| bundle.manifest.rollback_index = RollbackIndex(index)
}

/// The record of a device whose slot B holds `release` in `state`.
fn holding(release: &VerifiedRelease, state: SlotState) -> BootRecord {
    let mut record = record();
    record
        .installed(Slot::B, release.digest(), Payload::default())
        .unwrap();
    record.slot_mut(Slot::B).state = state;
    record
}

#[test]
fn a_newer_release_of_the_same_product_for_the_same_kind_of_device_is_installed() {
    assert_eq!(judge(&offered(with_index(3)), &record(), NONE), Ok(()));
}

#[test]
fn each_reason_against_a_release_has_its_own_exit_code_and_names_the_remedy() {
    type Change = Box<dyn Fn(&mut Bundle)>;
    let and_index = |change: Box<dyn Fn(&mut Bundle)>| -> Change {
        Box::new(move |bundle: &mut Bundle| {
            bundle.manifest.rollback_index = RollbackIndex(3);
            change(bundle);
        })
    };
    let cases: Vec<(Change, u8, &str)> = vec![
        (
            and_index(Box::new(|bundle| {
                bundle.manifest.release.image = "other".parse().unwrap();
            })),
            20,
            "same product",
        ),
        (
            and_index(Box::new(|bundle| {
                bundle.manifest.release.architecture = "aarch64".parse().unwrap();
            })),
            21,
            "aarch64",
        ),
        (
            and_index(Box::new(|bundle| {
                bundle.manifest.minimum_updater = Version::new(9, 0, 0);
            })),
            22,
            "release in between",
        ),
        (Box::new(with_index(2)), 23, "rollback index 2"),
        (
            and_index(Box::new(|bundle| {
                bundle.manifest.release.version = Version::new(1, 3, 9);
            })),
            24,
            "--allow-downgrade",
        ),
        (
            and_index(Box::new(|bundle| {
                bundle.manifest.root.root_hash = RootHash::of(b"what runs");
            })),
            25,
            "runs already",
        ),
        (
            and_index(Box::new(|bundle| {
                bundle.manifest.release.version = Version::new(1, 4, 0);
            })),
            30,
            "version of its own",
        ),
    ];
    for (change, code, words) in cases {
        let refusal = judge(&offered(change), &record(), NONE).unwrap_err();
        assert_eq!(refusal.exit_code(), code, "{refusal}");
        assert!(refusal.to_string().contains(words), "{refusal}");
    }
}

#[test]
fn an_older_release_is_installed_when_that_is_allowed_but_never_behind_the_rollback_index() {
    let older = |index| {
        offered(move |bundle| {
            bundle.manifest.release.version = Version::new(1, 0, 0);
            bundle.manifest.rollback_index = RollbackIndex(index);
        })
    };
    let allowed = Allowed {
        downgrade: true,
        ..NONE
    };
    assert_eq!(judge(&older(3), &record(), allowed), Ok(()));
    let refusal = judge(&older(2), &record(), allowed).unwrap_err();
    assert_eq!(refusal.exit_code(), 23);
}

#[test]
fn a_release_that_failed_here_is_tried_again_only_when_told_to() {
    let release = offered(with_index(3));
    let record = holding(&release, SlotState::Bad(BadReason::Panic));
    assert_eq!(judge(&release, &record, NONE).unwrap_err().exit_code(), 26);
    let again = Allowed { failed: true, ..NONE };
    assert_eq!(judge(&release, &record, again), Ok(()));
    // Another release takes its place without a word.
    let other = offered(with_index(4));
    assert_eq!(judge(&other, &record, NONE), Ok(()));
}

#[test]
fn a_release_that_waits_for_its_trial_is_not_written_again() {
    let release = offered(with_index(3));
    let mut record = holding(&release, SlotState::Written);
    assert_eq!(judge(&release, &record, NONE), Ok(()), "its trial is to be armed");
    record.begin_arming(Slot::B, Slot::A).unwrap();
    assert_eq!(judge(&release, &record, NONE).unwrap_err().exit_code(), 29);
}

#[test]
fn nothing_is_installed_while_what_runs_is_on_trial() {
    let mut record = record();
    record.default = Slot::B;
    let refusal = judge(&offered(with_index(3)), &record, NONE).unwrap_err();
    assert_eq!(refusal, Refusal::OnTrial);
    assert_eq!(refusal.exit_code(), 31);
}

#[test]
fn what_does_not_fit_into_its_slot_is_refused_with_both_sizes() {
    let release = offered(with_index(3));
    let manifest = release.manifest();
    for (space, what) in [
        (
            Space {
                boot: manifest.boot.bytes - 1,
                ..space(1 << 30)
            },
            "boot payload",
        ),
        (
            Space {
                root: manifest.root.bytes - 1,
                ..space(1 << 30)
            },
            "root file system",
        ),
        (
            Space {
                verity: 1,
                ..space(1 << 30)
            },
            "hash tree",
        ),
    ] {
        let refusal = admit(&release, &running(), &record(), &space, NONE).unwrap_err();
        assert_eq!(refusal.exit_code(), 27);
        assert!(refusal.to_string().contains(what), "{refusal}");
    }
}

#[test]
fn a_payload_that_is_signed_for_a_slot_of_another_length_is_refused_with_both_lengths() {
    let signed = offered(|bundle| {
        with_index(3)(bundle);
        bundle.manifest.secure_boot = Some(FileDigest::of(b"certificate"));
    });
    let boot = signed.manifest().boot.bytes;
    let judge = |release, boot| {
        let space = Space {
            boot,
            ..space(1 << 30)
        };
        admit(release, &running(), &record(), &space, NONE)
    };
    judge(&signed, boot).unwrap();
    let refusal = judge(&signed, boot + 4096).unwrap_err();
    assert_eq!(refusal.exit_code(), 61);
    let text = refusal.to_string();
    assert!(
        text.contains(&boot.to_string()) && text.contains(&(boot + 4096).to_string()),
        "{text}"
    );
    judge(&offered(with_index(3)), boot + 4096).unwrap();
}

#[test]
fn with_secure_boot_only_a_signed_release_is_installed_and_without_it_any() {
    let with = |secure_boot, signer: Option<FileDigest>| {
        let release = offered(|bundle| {
            bundle.manifest.rollback_index = RollbackIndex(3);
            bundle.manifest.secure_boot = signer;
        });
        let device = Running {
            secure_boot,
            ..running()
        };
        let room = Space {
            boot: release.manifest().boot.bytes,
            ..space(1 << 30)
        };
        admit(&release, &device, &record(), &room, NONE)
    };
    let signed = Some(FileDigest::of(b"certificate"));
    assert_eq!(with(SecureBoot::On, signed), Ok(()));
    assert_eq!(with(SecureBoot::Off, signed), Ok(()));
    assert_eq!(with(SecureBoot::Off, None), Ok(()));
    let refusal = with(SecureBoot::On, None).unwrap_err();
    assert_eq!(refusal, Refusal::NotSigned(Version::new(1, 5, 0)));
    assert_eq!(refusal.exit_code(), 62);
    assert!(refusal.to_string().contains("[secure-boot]"), "{refusal}");
}
