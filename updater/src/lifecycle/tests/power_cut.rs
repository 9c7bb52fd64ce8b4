//! The power goes at every moment of a release's whole way: install, arm, first boot, commit, rollback, failure.

use outcrop_release::{
    bootrec::{BadReason, LastEnd, TakenBackBy},
    slot::Slot,
};

use crate::testing::world::{Loader, World};
use crate::{
    lifecycle::Next,
    testing::{
        dice::Dice,
        sim::{Event, SimDisk},
    },
};

/// Sampled states behind each event.
const SAMPLES: u64 = 200;

/// Something that is done to a device.
struct Act {
    name: &'static str,
    /// A device before it.
    before: fn(Loader) -> World,
    /// Does it.
    run: fn(&mut World),
    /// Releases that may run after a power cut in the middle of it.
    may_run: &'static [u64],
    /// What runs once it has been done to its end.
    runs: u64,
}

/// Release 1 runs, release 2 is its predecessor in slot B: an ordinary device.
fn updated_before(loader: Loader) -> World {
    let mut world = World::flashed_for(loader);
    world.install(2).unwrap();
    world.lifecycle(Slot::A).arm().unwrap();
    world.boot(LastEnd::Orderly).unwrap();
    world.lifecycle(Slot::B).commit().unwrap();
    world
}

fn on_trial(loader: Loader) -> World {
    let mut world = updated_before(loader);
    world.install(3).unwrap();
    world.lifecycle(Slot::B).arm().unwrap();
    let booted = world.boot(LastEnd::Orderly).unwrap();
    assert_eq!((booted.slot, booted.next), (Slot::A, Next::Trial));
    world
}

const ACTS: [Act; 8] = [
    Act {
        name: "boot of the default",
        before: updated_before,
        run: |world| {
            world.boot(LastEnd::Orderly).unwrap();
        },
        may_run: &[2],
        runs: 2,
    },
    Act {
        name: "install and arm",
        before: updated_before,
        run: |world| {
            world.install(3).unwrap();
            world.lifecycle(Slot::B).arm().unwrap();
        },
        may_run: &[2, 3],
        runs: 3,
    },
    Act {
        name: "trial boot",
        before: |loader| {
            let mut world = updated_before(loader);
            world.install(3).unwrap();
            world.lifecycle(Slot::B).arm().unwrap();
            world
        },
        run: |world| {
            world.boot(LastEnd::Orderly).unwrap();
        },
        may_run: &[2, 3],
        runs: 3,
    },
    Act {
        name: "commit",
        before: on_trial,
        run: |world| {
            world.lifecycle(Slot::A).commit().unwrap();
        },
        may_run: &[2, 3],
        runs: 3,
    },
    Act {
        name: "failed trial",
        before: on_trial,
        run: |world| {
            world.lifecycle(Slot::A).fail(BadReason::CheckFailed).unwrap();
        },
        may_run: &[2, 3],
        runs: 2,
    },
    Act {
        name: "rollback",
        before: |loader| {
            let mut world = on_trial(loader);
            world.lifecycle(Slot::A).commit().unwrap();
            world
        },
        run: |world| {
            world.lifecycle(Slot::A).roll_back().unwrap();
        },
        may_run: &[2, 3],
        runs: 2,
    },
    Act {
        name: "taking back an armed trial",
        before: armed_third,
        run: |world| {
            world.lifecycle(Slot::B).disarm(TakenBackBy::Agent).unwrap();
        },
        may_run: &[2, 3],
        runs: 2,
    },
    Act {
        name: "the operator's taking back of it",
        before: armed_third,
        run: |world| {
            world.lifecycle(Slot::B).disarm(TakenBackBy::Operator).unwrap();
        },
        may_run: &[2, 3],
        runs: 2,
    },
];

/// Release 2 runs, and the trial of release 3 is armed.
fn armed_third(loader: Loader) -> World {
    let mut world = updated_before(loader);
    world.install(3).unwrap();
    world.lifecycle(Slot::B).arm().unwrap();
    world
}

/// An act that was recorded.
struct Recorded {
    act: &'static Act,
    before: World,
    one_shot: Option<Slot>,
    log: Vec<Event>,
}

impl Recorded {
    fn new(loader: Loader, act: &'static Act, lost_flush: Option<usize>) -> Self {
        let mut before = (act.before)(loader);
        before.disk.forget_log();
        let one_shot = before.firmware.one_shot;
        let mut world = before.with(SimDisk::cut(&before.disk, &[], 0, || true), one_shot);
        world.disk.lost_flush = lost_flush;
        (act.run)(&mut world);
        let log = world.disk.log.events();
        Self {
            act,
            before,
            one_shot,
            log,
        }
    }

    /// The device when the power goes behind `count` events, in one way of many.
    fn cut(&self, count: usize, seed: u64) -> World {
        let mut dice = Dice(seed ^ ((count as u64) << 32));
        // None, all, or some of what wasn't flushed.
        let per_sector = dice.roll() % 100;
        let disk = SimDisk::cut(&self.before.disk, &self.log, count, || match seed {
            0 => false,
            1 => true,
            _ => dice.roll() % 100 < per_sector,
        });
        let told = self.log[..count].iter().rev().find_map(|event| match event {
            Event::OneShot(slot) => Some(*slot),
            _ => None,
        });
        self.before.with(disk, told.unwrap_or(self.one_shot))
    }

    /// Whether a device, and the one after another power cut at its next boots, comes up with a whole release.
    fn check(&self, count: usize, seed: u64) -> Result<(), String> {
        let mut world = self.cut(count, seed);
        for _ in 0..3 {
            let booted = world.boot(LastEnd::PowerLost)?;
            if !self.act.may_run.contains(&booted.release) {
                return Err(format!("release {} runs", booted.release));
            }
        }
        Ok(())
    }

    fn first_fault(&self, samples: u64) -> Option<String> {
        let mut cases = (0..=self.log.len()).flat_map(|count| (0..samples).map(move |seed| (count, seed)));
        cases.find_map(|(count, seed)| {
            let why = self.check(count, seed).err()?;
            Some(format!(
                "{} cut behind event {count}, seed {seed}: {why}",
                self.act.name
            ))
        })
    }

    /// Whether the act, done to its end, can be undone by a power cut behind it.
    fn undone(&self) -> Option<String> {
        (0..40).find_map(|seed| {
            let booted = self.cut(self.log.len(), seed).boot(LastEnd::Orderly);
            let expected = self.act.runs;
            match booted {
                Ok(booted) if booted.release == expected => None,
                other => Some(format!("{}, seed {seed}: {other:?}", self.act.name)),
            }
        })
    }

    fn flushes(&self) -> usize {
        self.log
            .iter()
            .filter(|event| matches!(event, Event::Flush(_)))
            .count()
    }
}

#[test]
fn after_a_power_cut_at_any_moment_a_whole_release_runs_old_or_new() {
    old_or_new(Loader::Efi);
}

#[test]
fn with_u_boot_too_after_a_power_cut_at_any_moment_a_whole_release_runs_old_or_new() {
    old_or_new(Loader::Uboot);
}

fn old_or_new(loader: Loader) {
    let mut states = 0;
    for act in &ACTS {
        let recorded = Recorded::new(loader, act, None);
        if let Some(fault) = recorded.first_fault(SAMPLES) {
            panic!("{fault}");
        }
        let count = (recorded.log.len() as u64 + 1) * SAMPLES;
        println!("{}: {} events, {count} states", act.name, recorded.log.len());
        states += count;
    }
    println!("{states} states in all, each started three times");
    assert!(states >= 10_000, "{states}");
}

#[test]
fn an_installation_that_lost_its_power_is_completed_by_a_rerun() {
    for (loader, seed) in [Loader::Efi, Loader::Uboot]
        .into_iter()
        .flat_map(|loader| (0..4).map(move |seed| (loader, seed)))
    {
        let recorded = Recorded::new(loader, &ACTS[1], None);
        for count in 0..=recorded.log.len() {
            let mut world = recorded.cut(count, seed);
            let booted = world.boot(LastEnd::PowerLost).unwrap();
            if booted.release == recorded.act.runs {
                continue; // its trial runs already
            }
            let armed = world.lifecycle(booted.slot).record().unwrap().trial.is_some();
            if !armed {
                world.install(3).unwrap();
                world.lifecycle(booted.slot).arm().unwrap();
            }
            let booted = world.boot(LastEnd::Orderly).unwrap();
            assert_eq!(
                (booted.release, booted.next),
                (3, Next::Trial),
                "{loader:?}: cut behind event {count}, seed {seed}"
            );
        }
    }
}

#[test]
fn what_was_done_to_its_end_stays_done() {
    for (loader, act) in [Loader::Efi, Loader::Uboot]
        .into_iter()
        .flat_map(|loader| ACTS.iter().map(move |act| (loader, act)))
    {
        if let Some(fault) = Recorded::new(loader, act, None).undone() {
            panic!("{fault}");
        }
    }
}

#[test]
fn without_a_flush_of_theirs_these_steps_would_not_be_safe() {
    // The others put somebody else's writes behind them, or have a next boot that does the step again.
    let expected = [
        ("boot of the default", vec![]),
        ("install and arm", vec![4, 5, 7]),
        ("trial boot", vec![]),
        ("commit", vec![]),
        ("failed trial", vec![1]),
        ("rollback", vec![1]),
        ("taking back an armed trial", vec![1]),
        ("the operator's taking back of it", vec![1]),
    ];
    assert_eq!(flushes_that_matter(Loader::Efi), expected);
}

#[test]
fn with_u_boot_too_without_a_flush_of_theirs_these_steps_would_not_be_safe() {
    let expected = [
        ("boot of the default", vec![]),
        ("install and arm", vec![3, 4, 6]),
        ("trial boot", vec![]),
        ("commit", vec![]),
        ("failed trial", vec![1]),
        ("rollback", vec![1]),
        ("taking back an armed trial", vec![1]),
        ("the operator's taking back of it", vec![1]),
    ];
    assert_eq!(flushes_that_matter(Loader::Uboot), expected);
}

fn flushes_that_matter(loader: Loader) -> [(&'static str, Vec<usize>); 8] {
    // Which flushes matter is found by leaving out each in turn: if none did, these tests would test nothing.
    ACTS.each_ref().map(|act| {
        let flushes = Recorded::new(loader, act, None).flushes();
        let noticed = |number: &usize| {
            let recorded = Recorded::new(loader, act, Some(*number));
            recorded.undone().or_else(|| recorded.first_fault(20)).is_some()
        };
        let matter: Vec<usize> = (0..flushes).filter(noticed).collect();
        println!(
            "{}: of {flushes} flushes, leaving out {matter:?} is noticed",
            act.name
        );
        (act.name, matter)
    })
}
