//! The power goes at moments that nobody chose: while a release is fetched, written, armed, tried, committed, or gone back from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print what they did"
)]

use std::{env, thread, time::Duration};

use outcrop_qemu::update::{Device, NEW, OLD};
use outcrop_release::{
    arch::Architecture,
    journal::{Event, Fate},
    slot::Slot,
};
use serde_json::Value;

/// Power cuts of a run; `cargo xtask soak` sets the variable.
const CUTS: u64 = 2;
const CUTS_VARIABLE: &str = "OUTCROP_POWER_CUTS";
/// The number that the moments are drawn from.
const SEED_VARIABLE: &str = "OUTCROP_POWER_CUT_SEED";
/// The latest moment after a command was given. An installation takes about ten seconds, the trial's boot fifty.
const LATEST: u64 = 70_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number"))
    })
}

/// A number below `limit` that looks random and is the same in every run with this seed. Source: Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators" (SplitMix64), 2014.
const fn draw(seed: u64, limit: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % limit
}

#[test]
fn a_device_that_loses_its_power_at_random_moments_of_updates_always_comes_up() {
    let cuts = number(CUTS_VARIABLE, CUTS);
    let seed = number(SEED_VARIABLE, 1);
    let mut device = Device::start(Architecture::X86_64);
    let mut running = OLD.to_owned();
    let mut head = None;
    for cut in 0..cuts {
        let moment = Duration::from_millis(draw(seed.wrapping_mul(1000).wrapping_add(cut), LATEST));
        let command = if running == OLD {
            // Also one that waits for its trial, or that an earlier cut gave up.
            format!("install {} --retry-failed --reboot", device.url(NEW))
        } else {
            "rollback --reboot".to_owned()
        };
        println!("cut {cut} of seed {seed}: {running} runs; {moment:?} after `{command}`");
        device.start_updater(&command);
        thread::sleep(moment);
        device = device.power_cycle();
        running = device.expect_any_release();
        head = history_goes_on(&mut device, head.as_deref());
        assert_eq!(what_is_wrong(&fates(&mut device), &running), None);
        let written = device.datastore();
        assert_eq!(written.last(), Some(&running), "its state is there: {written:?}");
    }
    println!("{cuts} power cuts, {running} runs");
}

/// The history is whole, and has all that it had before the power was cut: its newest event.
fn history_goes_on(device: &mut Device, head: Option<&str>) -> Option<String> {
    let has = head.map_or_else(String::new, |head| format!(" --head {head}"));
    let told = device
        .shell()
        .run(&format!("outcrop-updater history --verify{has}"))
        .unwrap();
    assert!(
        told.starts_with("whole: ") || told.starts_with("nothing has happened"),
        "{told}"
    );
    let (_, newest) = told.rsplit_once("the last one ")?;
    Some(newest.trim().to_owned())
}

/// What became of releases, as the history tells it: fate, version and slot of each.
fn fates(device: &mut Device) -> Vec<(Fate, String, String)> {
    let told = device.shell().run("outcrop-updater history --json").unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let events = told["events"].as_array().unwrap().iter();
    events
        .map(|entry| serde_json::from_value(entry["event"].clone()).unwrap())
        .filter_map(|event| match event {
            Event::Release {
                fate, version, slot, ..
            } => Some((fate, version, slot)),
            _ => None,
        })
        .collect()
}

/// What is missing in the history of a device that runs `running` and is healthy, or is there twice. Only the new release becomes anything, in
/// slot b; the old one came with the image.
fn what_is_wrong(fates: &[(Fate, String, String)], running: &str) -> Option<String> {
    let mut before = None;
    for (fate, version, slot) in fates {
        let is_new = version == NEW && *slot == Slot::B.to_string();
        if !is_new || !may_follow(before, *fate) {
            return Some(format!(
                "{version} {fate} in slot {slot} behind {before:?}: {fates:?}"
            ));
        }
        before = Some(*fate);
    }
    // What runs healthily is committed, and nothing else is.
    let is_committed = before == Some(Fate::Committed);
    (is_committed != (running == NEW)).then(|| format!("{running} runs: {fates:?}"))
}

/// Each ends what the one before began: one that is missing or doubled doesn't.
const fn may_follow(before: Option<Fate>, fate: Fate) -> bool {
    match before {
        None | Some(Fate::Failed | Fate::RolledBack) => matches!(fate, Fate::Installed),
        Some(Fate::Installed) => matches!(fate, Fate::Committed | Fate::Failed),
        Some(Fate::Committed) => matches!(fate, Fate::RolledBack | Fate::Failed),
    }
}

#[test]
fn a_history_in_which_something_is_missing_or_doubled_is_found() {
    use Fate::{Committed, Failed, Installed, RolledBack};
    let wrong = |fates: &[Fate], running| {
        let fates: Vec<_> = fates
            .iter()
            .map(|fate| (*fate, NEW.to_owned(), "b".to_owned()))
            .collect();
        what_is_wrong(&fates, running)
    };
    let whole = [
        Installed, Committed, RolledBack, Installed, Failed, Installed, Committed,
    ];
    assert_eq!((wrong(&whole, NEW), wrong(&[], OLD)), (None, None));
    for place in 0..whole.len() {
        let mut missing = whole.to_vec();
        let fate = missing.remove(place);
        assert!(wrong(&missing, NEW).is_some(), "{place}");
        let mut doubled = whole.to_vec();
        doubled.insert(place, fate);
        assert!(wrong(&doubled, NEW).is_some(), "{place}");
    }
    assert!(wrong(&whole, OLD).is_some());
    let unknown = [(Installed, "unknown".to_owned(), "b".to_owned())];
    assert!(what_is_wrong(&unknown, OLD).is_some());
}

/// What of the datastore's a copy takes a while for.
const PAD: &str = "/var/lib/datastore/pad";
const PAD_BYTES: &str = "64M";
/// Which unit copies the state, or brings it back; systemd prints that it starts.
const STATE: &str = "outcrop-state.service";
/// Moments after that line, in milliseconds; a trial is begun three times.
const IN_THE_COPY: [u64; 2] = [300, 900];
const IN_THE_RETURN: [u64; 3] = [100, 300, 700];

#[test]
#[ignore = "the soak's: seven boots; the unit tests cut the power before each change that brings state back"]
fn a_device_that_loses_its_power_while_state_is_copied_or_comes_back_has_the_state_of_before() {
    let mut device = Device::start_before_fault(Architecture::X86_64, "greenboot");
    let sum = format!("sha256sum {PAD}");
    let shell = &mut device.shell();
    shell
        .run(&format!("head -c {PAD_BYTES} /dev/urandom > {PAD} && sync"))
        .unwrap();
    let before = shell.run(&sum).unwrap();
    device.install(NEW);
    device.restart();
    for moment in IN_THE_COPY {
        device = cut_at_the_state(device, moment);
    }
    device.expect("outcrop: trial failed: ");
    for moment in IN_THE_RETURN {
        device = cut_at_the_state(device, moment);
    }
    device.expect_healthy(OLD, "a");
    let written = device.datastore();
    assert!(written.iter().all(|line| line == OLD), "{written:?}");
    assert_eq!(device.shell().run(&sum).unwrap(), before);
    let state = device.shell().run("outcrop-updater state list").unwrap();
    assert!(state.contains("of the state was brought back"), "{state}");
}

/// Cuts the power `moment` milliseconds after the state began to be brought in order, and switches the device on again.
fn cut_at_the_state(mut device: Device, moment: u64) -> Device {
    // Not the line that says that it stops, before the restart.
    device.expect("outcrop-init: slot ");
    device.expect(STATE);
    thread::sleep(Duration::from_millis(moment));
    device.power_cycle()
}
