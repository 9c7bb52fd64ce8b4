//! The power goes at every moment of an installation.

use outcrop_release::{
    bootrec::SlotState,
    slot::Slot,
    verity::{BLOCK_BYTES, HashTree, Superblock, root_hash_of_top_block},
};

use super::{delta::install_with, install, verified};
use crate::{
    disk::Area,
    record,
    testing::{
        bundle::{Bundle, Release, tree},
        delta::Delta,
        dice::Dice,
        sim::{Event, SimDisk},
    },
};

/// Sampled states for each prefix of the log.
const SAMPLES: u64 = 60;

/// What must hold of a disk after a power cut: the running slot is whole and stays the default; the other one is whole if
/// the record, or a superblock in its place, says so.
fn sound(disk: &SimDisk, before: &SimDisk, releases: &[&Release]) -> Result<(), String> {
    for area in [Area::Boot(Slot::A), Area::Root(Slot::A), Area::Verity(Slot::A)] {
        if disk.content(area) != before.content(area) {
            return Err(format!("{area} has changed"));
        }
    }
    let record = record::load(disk).map_err(|error| error.to_string())?;
    if record.default != Slot::A || record.trial.is_some() {
        return Err(format!("slot A isn't the default: {record:?}"));
    }
    let state = record.slot(Slot::B).state;
    let is_whole = releases.iter().any(|release| disk.holds(Slot::B, release));
    if state != SlotState::Empty && !is_whole {
        return Err(format!("slot B is {state:?} and holds no release"));
    }
    if Superblock::parse(disk.content(Area::Verity(Slot::B))).is_ok() && !root_is_whole(disk) {
        return Err("slot B has a superblock, and its root isn't whole".to_owned());
    }
    Ok(())
}

/// Whether slot B's root is what its own tree says.
fn root_is_whole(disk: &SimDisk) -> bool {
    let verity = disk.content(Area::Verity(Slot::B));
    let Ok(superblock) = Superblock::parse(verity) else {
        return false;
    };
    let top = verity[BLOCK_BYTES..].first_chunk().unwrap();
    let root = root_hash_of_top_block(&superblock.salt, top);
    let geometry = superblock.geometry;
    let len = usize::try_from(geometry.partition_bytes()).unwrap();
    let Ok(parsed) = HashTree::parse(&verity[..len], &root) else {
        return false;
    };
    let data = usize::try_from(geometry.data_bytes()).unwrap();
    tree(&disk.content(Area::Root(Slot::B))[..data]) == parsed
}

/// An installation's log, and the disk before it.
struct Run {
    before: SimDisk,
    log: Vec<Event>,
    bundle: Bundle,
    releases: [Release; 2],
    /// Installed with this delta, when there is one.
    delta: Option<Delta>,
}

/// Slot B holds a release already; then a newer one is installed.
fn run(lost_flush: Option<usize>, with: With) -> Run {
    let first = Release::new(1);
    let (second, third) = (first.changed(2), first.changed(2).changed(3));
    let mut before = SimDisk::flashed(&first);
    install(&mut before, &Bundle::of(&second)).unwrap();
    let mut record = record::load(&before).unwrap();
    record.slot_mut(Slot::B).state = SlotState::Good;
    record::store(&mut before, &record).unwrap();
    before.forget_log();
    let bundle = Bundle::of(&third);
    let delta = matches!(with, With::Delta).then(|| Delta::of(Some(&first), &third, &bundle));
    let mut disk = SimDisk::cut(&before, &[], 0, || true);
    disk.lost_flush = lost_flush;
    let mut run = Run {
        before,
        log: Vec::new(),
        bundle,
        releases: [second, third],
        delta,
    };
    run.install(&mut disk);
    run.log = disk.log.events();
    run
}

/// What is installed with.
#[derive(Debug, Clone, Copy)]
enum With {
    BundleAlone,
    Delta,
}

impl Run {
    fn install(&self, disk: &mut SimDisk) {
        let beside = self
            .delta
            .as_ref()
            .map(|delta| (delta.starts_from(), delta.file()));
        install_with(disk, &self.bundle.bytes, beside, &verified(&self.bundle), None).unwrap();
    }

    /// Cuts the power behind `count` events, in one way of many.
    fn cut(&self, count: usize, seed: u64) -> SimDisk {
        let mut dice = Dice(seed ^ (count as u64) << 32);
        // None, all, or some of what wasn't flushed.
        let per_sector = dice.roll() % 100;
        SimDisk::cut(&self.before, &self.log, count, || match seed {
            0 => false,
            1 => true,
            _ => dice.roll() % 100 < per_sector,
        })
    }

    fn check(&self, disk: &SimDisk) -> Result<(), String> {
        let releases: Vec<&Release> = self.releases.iter().collect();
        sound(disk, &self.before, &releases)
    }

    /// The first unsound state, by the prefix's length and the seed.
    fn first_fault(&self, samples: u64) -> Option<(usize, u64, String)> {
        let cases = (0..=self.log.len()).flat_map(|count| (0..samples).map(move |seed| (count, seed)));
        cases.into_iter().find_map(|(count, seed)| {
            let why = self.check(&self.cut(count, seed)).err()?;
            Some((count, seed, why))
        })
    }
}

#[test]
fn after_a_power_cut_at_any_moment_the_device_starts_and_a_rerun_completes() {
    cut_everywhere(With::BundleAlone, SAMPLES);
}

#[test]
fn with_a_delta_too_the_device_starts_after_a_power_cut_at_any_moment_and_a_rerun_completes() {
    cut_everywhere(With::Delta, SAMPLES);
}

fn cut_everywhere(with: With, samples: u64) {
    let run = run(None, with);
    let mut states = 0;
    for count in 0..=run.log.len() {
        for seed in 0..samples {
            let mut disk = run.cut(count, seed);
            run.check(&disk)
                .unwrap_or_else(|why| panic!("cut behind event {count}, seed {seed}: {why}"));
            states += 1;
            // Every state would take minutes; these are all prefixes in all three ways.
            if seed < 3 {
                let before = disk.clone();
                run.install(&mut disk);
                disk.assert_holds(Slot::B, &run.releases[1]);
                states += second_cut(&run, &before, &disk.log.events(), count);
            }
        }
    }
    println!("{} events, {states} states", run.log.len());
    assert!(run.log.len() > 15 && states > 500);
}

/// The power goes once more, during the rerun; how many states were looked at.
fn second_cut(run: &Run, before: &SimDisk, log: &[Event], step: usize) -> u64 {
    let mut states = 0;
    for count in (step % 5..=log.len()).step_by(5) {
        let mut dice = Dice(count as u64);
        let disk = SimDisk::cut(before, log, count, || dice.roll().is_multiple_of(2));
        run.check(&disk)
            .unwrap_or_else(|why| panic!("cut twice, behind events {step} and {count}: {why}"));
        states += 1;
    }
    states
}

#[test]
fn without_one_of_its_flushes_the_installation_would_not_be_safe() {
    // Which flushes matter is found by leaving out each in turn: if none did, this test would test nothing.
    let flushes = run(None, With::BundleAlone)
        .log
        .iter()
        .filter(|event| matches!(event, Event::Flush(_)))
        .count();
    let matter: Vec<usize> = (0..flushes)
        .filter(|number| run(Some(*number), With::BundleAlone).first_fault(200).is_some())
        .collect();
    println!("of {flushes} flushes, leaving out {matter:?} is noticed");
    // 1: the record says empty. 2: the superblock is zero. 3, 4, 5: boot payload, root, tree. 6: the superblock is back.
    // The others only put somebody else's writes behind them.
    assert_eq!(matter, [1, 2, 3, 4, 5, 6], "of {flushes}");
}
