mod bare;
mod damage;
mod delta;
mod economy;
mod power_cut;
mod refusals;

use outcrop_release::{
    bootrec::SlotState,
    bundle::Head,
    plan::{Cost, Fetch},
    slot::Slot,
    trust::{VerifiedRelease, verify},
    verity::BLOCK_BYTES,
};

use super::*;
use crate::testing::{
    bundle::{Bundle, CountingSource, MemorySource, Release, trust},
    sim::{Memory, SimDisk, Unwatched},
};
use crate::{
    boot_control::efi,
    disk::{Area, Disk as _},
    record,
};

const BLOCK: u64 = BLOCK_BYTES as u64;

fn verified(bundle: &Bundle) -> (Head, VerifiedRelease) {
    let head = read_head(&mut MemorySource(bundle.bytes.clone())).unwrap();
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
        delta: None,
        looked: Default::default(),
        memory: 0,
        watch: &Unwatched,
    };
    let prepared = installation.prepare(&head, &release)?;
    let cost = prepared.cost();
    installation.carry_out(&prepared)?;
    Ok(cost)
}

/// What preparing came to, and how many bytes of the bundle it took.
#[derive(Debug)]
struct Looked {
    cost: Cost,
    fetched: u64,
}

#[derive(Debug)]
struct Refused {
    error: InstallError,
    fetched: u64,
}

/// Prepares an installation, and no more.
fn survey(disk: &mut SimDisk, bundle: &Bundle, budget: Option<u64>) -> Result<Looked, Refused> {
    let mut source = CountingSource::new(bundle);
    let head = read_head(&mut source).unwrap();
    let release = verify(&head.manifest, &head.signatures, &trust()).unwrap();
    let mut installation = Installation {
        source: &mut source,
        disk,
        scratch: &mut Memory::default(),
        running: Slot::A,
        budget,
        delta: None,
        looked: Default::default(),
        memory: 0,
        watch: &Unwatched,
    };
    let prepared = installation
        .prepare(&head, &release)
        .map(|prepared| prepared.cost());
    let fetched = source.bytes();
    match prepared {
        Ok(cost) => Ok(Looked { cost, fetched }),
        Err(error) => Err(Refused { error, fetched }),
    }
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
    for area in [Area::Boot(Slot::A), Area::Root(Slot::A), Area::Verity(Slot::A)] {
        assert!(disk.content(area) == before.content(area), "{area}");
    }
    let record = record::load(&disk).unwrap();
    assert_eq!(record.slot(Slot::B).state, SlotState::Written);
    assert_eq!(record.slot(Slot::B).release, verified(&bundle).1.digest());
    assert_eq!((record.default, record.trial), (Slot::A, None));
    assert!(
        cost.copy > 0 && cost.fetch.frames > 0 && cost.write == new.bytes(),
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
    let Fetch {
        index, frames, tree, ..
    } = cost.fetch;
    assert_eq!(
        (index, tree, frames, cost.requests),
        (0, 0, 0, 1),
        "only the head"
    );
    assert_eq!((cost.copy, cost.write, cost.keep), (0, 0, second.bytes()));
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
fn what_an_installation_that_was_cut_short_left_behind_the_boot_payload_is_cleared_by_the_next() {
    let old = Release::new(1);
    let mut disk = SimDisk::flashed(&old);
    let second = old.changed(2);
    install(&mut disk, &Bundle::of(&second)).unwrap();
    // As after a power cut: the record says that the slot is empty, and a longer payload lies there.
    let mut record = record::load(&disk).unwrap();
    record.begin_install(Slot::B, Slot::A).unwrap();
    record::store(&mut disk, &record).unwrap();
    let end = second.boot.len() as u64;
    disk.write(Area::Boot(Slot::B), end + BLOCK, &[0xaa; BLOCK_BYTES])
        .unwrap();
    disk.flush(Area::Boot(Slot::B)).unwrap();
    let third = old.changed(3);
    install(&mut disk, &Bundle::of(&third)).unwrap();
    disk.assert_holds(Slot::B, &third);
    let rest = disk.content(Area::Boot(Slot::B))[third.boot.len()..].to_vec();
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
fn more_than_the_budget_is_refused_at_each_stage_before_it_is_fetched() {
    let old = Release::new(1);
    let bundle = Bundle::of(&old.changed(2));
    let whole = survey(&mut SimDisk::flashed(&old), &bundle, None).unwrap();
    let Fetch { head, tree, .. } = whole.cost.fetch;
    // The head has been fetched by then. Then come the trees, level by level, pages of the index, frames.
    let total = whole.cost.fetch.total();
    for (budget, fetched) in [
        (head - 1, head),
        (head, head),
        (head + tree, head + tree),
        (total - 1, whole.fetched),
    ] {
        let mut disk = SimDisk::flashed(&old);
        let refused = survey(&mut disk, &bundle, Some(budget)).unwrap_err();
        assert!(
            matches!(refused.error, InstallError::Budget(_)),
            "{:?}",
            refused.error
        );
        assert_eq!(refused.fetched, fetched, "{budget}");
        assert!(disk.log.is_empty());
    }
    assert!(survey(&mut SimDisk::flashed(&old), &bundle, Some(total)).is_ok());
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
