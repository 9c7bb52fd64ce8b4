mod damage;
mod power_cut;
mod refusals;

use outcrop_release::{
    bootrec::SlotState,
    plan::Cost,
    slot::Slot,
    trust::{VerifiedRelease, verify},
    verity::BLOCK_BYTES,
};

use super::*;
use crate::testing::{
    bundle::{Bundle, MemorySource, Release, trust},
    sim::{Memory, SimDisk, Unwatched},
};
use crate::{
    boot_control::efi,
    disk::{Area, Disk as _},
    record,
};

const BLOCK: u64 = BLOCK_BYTES as u64;

fn verified(bundle: &Bundle) -> (Head, VerifiedRelease) {
    let head = Head::read(&mut MemorySource(bundle.bytes.clone())).unwrap();
    let release = verify(&head.manifest, &head.signatures, &trust()).unwrap();
    (head, release)
}

/// Installs a bundle into slot B of a device that runs slot A.
fn install(disk: &mut SimDisk, bundle: &Bundle) -> Result<Cost, InstallError> {
    let (head, release) = verified(bundle);
    let mut source = MemorySource(bundle.bytes.clone());
    let mut installation = Installation {
        source: &mut source,
        disk,
        scratch: &mut Memory::default(),
        running: Slot::A,
        budget: None,
        watch: &Unwatched,
    };
    let prepared = installation.prepare(&head, &release)?;
    let cost = prepared.cost();
    installation.carry_out(&prepared)?;
    Ok(cost)
}

#[test]
fn a_release_is_installed_whole_and_the_running_slot_is_untouched() {
    let old = Release::new(1);
    let mut disk = SimDisk::flashed(&old);
    let before = disk.clone();
    let new = old.changed(2);
    let bundle = Bundle::of(&new);
    let cost = install(&mut disk, &bundle).unwrap();
    disk.assert_holds(Slot::B, &new);
    let members = &bundle.manifest.members;
    assert!(cost.fetch > members.index.bytes + members.verity.bytes);
    for area in [Area::Boot(Slot::A), Area::Root(Slot::A), Area::Verity(Slot::A)] {
        assert!(disk.content(area) == before.content(area), "{area}");
    }
    let record = record::load(&disk).unwrap();
    assert_eq!(record.slot(Slot::B).state, SlotState::Written);
    assert_eq!(record.slot(Slot::B).release, verified(&bundle).1.digest());
    assert_eq!((record.default, record.trial), (Slot::A, None));
    assert!(
        cost.copy > 0 && cost.fetch > 0 && cost.write == new.bytes(),
        "{cost:?}"
    );
}

#[test]
fn what_is_in_place_is_neither_fetched_nor_written_again() {
    let old = Release::new(1);
    let mut disk = SimDisk::flashed(&old);
    let second = old.changed(2);
    install(&mut disk, &Bundle::of(&second)).unwrap();
    disk.forget_log();
    let cost = install(&mut disk, &Bundle::of(&second)).unwrap();
    let members = &Bundle::of(&second).manifest.members;
    let ahead = members.index.bytes + members.verity.bytes;
    assert_eq!(
        (cost.fetch, cost.copy, cost.write, cost.keep),
        (ahead, 0, 0, second.bytes())
    );
    let written = disk.written(|area| matches!(area, Area::Root(_) | Area::Boot(_)));
    assert_eq!(written, 0);
    // One block of it changes: that block is written, and the tree's path to it.
    let mut third = second.clone();
    third.root[5 * BLOCK_BYTES] ^= 0xff;
    disk.forget_log();
    install(&mut disk, &Bundle::of(&third)).unwrap();
    disk.assert_holds(Slot::B, &third);
    assert_eq!(disk.written(|area| matches!(area, Area::Root(_))), BLOCK);
}

#[test]
fn a_shorter_boot_payload_leaves_nothing_of_the_longer_one() {
    let old = Release::new(1);
    let mut disk = SimDisk::flashed(&old);
    let mut long = old.changed(2);
    long.boot.extend(vec![0xaa; 3 * BLOCK_BYTES]);
    install(&mut disk, &Bundle::of(&long)).unwrap();
    let short = old.changed(3);
    install(&mut disk, &Bundle::of(&short)).unwrap();
    disk.assert_holds(Slot::B, &short);
    let rest = disk.content(Area::Boot(Slot::B))[short.boot.len()..].to_vec();
    assert!(rest.iter().all(|byte| *byte == 0));
}

#[test]
fn a_block_of_the_running_slot_that_is_worn_is_fetched_instead() {
    let old = Release::new(1);
    let mut disk = SimDisk::flashed(&old);
    for block in 0..old.root.len() / BLOCK_BYTES {
        disk.flip(Area::Root(Slot::A), block as u64 * BLOCK);
    }
    let new = old.changed(2);
    install(&mut disk, &Bundle::of(&new)).unwrap();
    disk.assert_holds(Slot::B, &new);
    let mut disk = SimDisk::flashed(&old);
    disk.unreadable.insert((Area::Root(Slot::A), 3));
    install(&mut disk, &Bundle::of(&new)).unwrap();
    disk.assert_holds(Slot::B, &new);
}

#[test]
fn a_block_of_the_inactive_slot_that_can_t_be_read_is_written_again() {
    let old = Release::new(1);
    let mut disk = SimDisk::flashed(&old);
    let new = old.changed(2);
    install(&mut disk, &Bundle::of(&new)).unwrap();
    disk.unreadable.insert((Area::Root(Slot::B), 7));
    install(&mut disk, &Bundle::of(&new)).unwrap();
    assert!(disk.unreadable.is_empty(), "writing heals it");
    disk.assert_holds(Slot::B, &new);
}

#[test]
fn more_than_the_budget_is_refused_before_the_trees_and_before_the_disk() {
    let old = Release::new(1);
    let bundle = Bundle::of(&old.changed(2));
    let members = &bundle.manifest.members;
    let ahead = members.index.bytes + members.verity.bytes;
    for (budget, asked) in [(ahead - 1, false), (ahead, true)] {
        let mut disk = SimDisk::flashed(&old);
        let (head, release) = verified(&bundle);
        let mut scratch = Memory::default();
        let mut installation = Installation {
            source: &mut MemorySource(bundle.bytes.clone()),
            disk: &mut disk,
            scratch: &mut scratch,
            running: Slot::A,
            budget: Some(budget),
            watch: &Unwatched,
        };
        let error = installation.prepare(&head, &release).map(drop).unwrap_err();
        assert!(matches!(error, InstallError::Budget(_)), "{error:?}");
        assert!(disk.log.is_empty() && scratch.is_empty() != asked);
    }
}

#[test]
fn while_a_trial_of_the_other_slot_is_armed_nothing_is_installed() {
    let old = Release::new(1);
    let mut disk = SimDisk::flashed(&old);
    let second = old.changed(2);
    install(&mut disk, &Bundle::of(&second)).unwrap();
    let mut armed = record::load(&disk).unwrap();
    armed.begin_arming(Slot::B, Slot::A).unwrap();
    record::store(&mut disk, &armed).unwrap();
    let error = install(&mut disk, &Bundle::of(&old.changed(3))).unwrap_err();
    assert!(matches!(error, InstallError::TrialArmed), "{error:?}");
    disk.assert_holds(Slot::B, &second);
}

#[test]
fn without_a_whole_record_the_loader_says_which_slot_is_good_and_the_default_and_an_unreadable_one_is_an_error()
 {
    let mut disk = SimDisk::flashed(&Release::new(1));
    for default in [Slot::B, Slot::A] {
        efi::configure_slot(&mut disk, default).unwrap();
        assert!(record::is_lost(&disk).unwrap());
        let record = record::load(&disk).unwrap();
        assert_eq!(record.default, default, "whatever runs: it may be a trial");
        assert_eq!(record.slot(default).state, SlotState::Good);
        assert_eq!(record.slot(default.other()).state, SlotState::Empty);
    }
    disk.write(Area::LoaderConfig, 0, &[0; 512]).unwrap();
    disk.flush(Area::LoaderConfig).unwrap();
    assert_eq!(record::load(&disk).unwrap().default, Slot::A);
    // One copy that can't be read counts as damaged, and is healed by the next write.
    let record = record::load(&disk).unwrap();
    let stored = record::store(&mut disk, &record).unwrap();
    disk.unreadable.insert((Area::BootRecord, 1024));
    assert_eq!(record::load(&disk).unwrap(), stored);
    record::store(&mut disk, &stored).unwrap();
    assert!(disk.unreadable.is_empty());
    // What can't be read at all isn't guessed.
    disk.unreadable
        .extend([(Area::BootRecord, 0), (Area::BootRecord, 1024)]);
    assert!(record::load(&disk).is_err());
}
