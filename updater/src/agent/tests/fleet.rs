//! A thousand devices, three waves, and some of everything that goes wrong: the fleet's report names exactly those.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    thread,
};

use jiff::{SignedDuration, Timestamp};
use outcrop_builder::{
    fleet::{Devices, Memory, Summary, read, summarize},
    progress::{Progress as _, Silent, Unit},
};
use outcrop_release::{
    channel::{Position, Share},
    journal::{Event, Fate},
};

use crate::testing::{
    bundle::{Bundle, Release},
    site::{Fault, PlayedSite, Published},
};

const DEVICES: u64 = 1000;
/// Between two runs of the agent, in minutes.
const TICK: i64 = 120;
const FIRST_WAVE: i64 = 1;
const SECOND_WAVE: i64 = 12;
const THIRD_WAVE: i64 = 24;
/// When the fleet is looked at for good.
const END: i64 = 48;

fn hour(hour: i64) -> Timestamp {
    let start: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
    start.checked_add(SignedDuration::from_hours(hour)).unwrap()
}

/// What is wrong with a device: one in a hundred has each fault.
fn fault(number: u64) -> Fault {
    match number % 100 {
        3 => Fault::NoBundles,
        13 => Fault::Untrusting,
        23 => Fault::BadDisk,
        33 => Fault::Panics,
        43 => Fault::FailsCheck,
        53 => Fault::FailsKubernetes,
        63 => Fault::LosesPower,
        73 => Fault::Drifted,
        83 => Fault::SilentFrom(hour(2)),
        // Those that are only slow are nobody's trouble in the end.
        92 => Fault::NoBundlesUntil(hour(THIRD_WAVE + 6)),
        93 => Fault::OfflineUntil(hour(THIRD_WAVE + 12)),
        _ => Fault::Nothing,
    }
}

/// What is told of a device in the end, if anything is.
fn expected(number: u64) -> Option<&'static str> {
    Some(match fault(number) {
        Fault::NoBundles => "network",
        Fault::Untrusting => "refused",
        Fault::BadDisk => "storage",
        Fault::Panics => "boot failed",
        Fault::FailsCheck => "check failed",
        Fault::FailsKubernetes => "Kubernetes",
        Fault::LosesPower => "power",
        Fault::Drifted => "snowflake",
        Fault::SilentFrom(_) => "silent",
        _ => return None,
    })
}

fn published() -> Published {
    let mut published = Published::new(hour(0));
    let bundle = Bundle::of(&Release::new(1).changed(2));
    published.offer(hour(FIRST_WAVE), bundle, "1%,10%,100%");
    for wave in [SECOND_WAVE, THIRD_WAVE] {
        published.change(hour(wave), |channel, lifetime| {
            channel.promote("1.2.0", lifetime).unwrap()
        });
    }
    published
}

/// Lives a device's days. Which version it ran at the end of each wave.
fn live(published: &Published, folder: &Path, number: u64) -> Lived {
    let state = folder.join("state").join(number.to_string());
    let mut site = PlayedSite::new(published, &state, &folder.join("reports"), number, hour(0));
    site.fault = fault(number);
    let position = Position::of(&"edge".parse().unwrap(), &site.device());
    let share = |text: &str| text.parse::<Share>().unwrap();
    let wave = ["1%", "10%", "100%"]
        .into_iter()
        .position(|text| position.is_in(share(text)));
    let mut at_wave = Vec::new();
    for tick in 0..END * 60 / TICK {
        // The last moment before the next wave.
        if [SECOND_WAVE, THIRD_WAVE].contains(&((tick + 1) * TICK / 60)) && (tick + 1) * TICK % 60 == 0 {
            at_wave.push(site.version());
        }
        site.tick(TICK);
    }
    at_wave.push(site.version());
    let fates = site.events().into_iter().filter_map(|event| match event {
        Event::Release { fate, .. } => Some(fate),
        _ => None,
    });
    let lived = Lived {
        number,
        device: site.device().to_string(),
        wave: wave.unwrap(),
        at_wave,
        fates: fates.collect(),
    };
    fs::remove_dir_all(&state).unwrap();
    lived
}

struct Lived {
    number: u64,
    device: String,
    wave: usize,
    at_wave: Vec<String>,
    fates: Vec<Fate>,
}

/// Memory, where there is room in it: a thousand devices sync a lot.
fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
    .unwrap()
}

fn summary(folder: &Path) -> Summary {
    let list = folder.join("devices.txt");
    let devices = Devices::read(&list).unwrap();
    let now = hour(END);
    let phase = Silent.phase("check reports", None, Unit::Items);
    let reports = folder.join("reports");
    let read = read(&reports, &devices, Memory::default(), now, phase.as_ref()).unwrap();
    summarize(&read, &devices, now, SignedDuration::from_hours(40))
}

#[test]
fn of_a_thousand_devices_the_report_names_exactly_those_that_failed_and_why() {
    let folder = scratch();
    let path = folder.path();
    let threads = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let mut lived: Vec<Lived> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn(move || {
                    let published = published();
                    let ours = (0..DEVICES).filter(|number| number % threads == worker);
                    ours.map(|number| live(&published, path, number))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    lived.sort_by_key(|lived| lived.number);
    let known: Vec<String> = lived
        .iter()
        .map(|lived| format!("{} shop-{:03}", lived.device, lived.number))
        .collect();
    fs::write(path.join("devices.txt"), known.join("\n")).unwrap();

    let summary = summary(path);
    assert!(summary.rejected.is_empty(), "{:?}", summary.rejected);
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut tell = |reason: &str, names: &[outcrop_builder::fleet::Named]| {
        let names = names.iter().map(|named| named.name.clone());
        told.entry(reason.to_owned()).or_default().extend(names);
    };
    for group in &summary.lagging {
        tell(&group.reason, &group.devices);
    }
    tell("snowflake", &summary.snowflakes);
    tell("silent", &summary.silent);
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for lived in &lived {
        let name = format!("shop-{:03}", lived.number);
        if let Some(reason) = expected(lived.number) {
            wanted.entry(reason.to_owned()).or_default().insert(name.clone());
        }
    }
    // Who fell silent before its wave hasn't updated, as far as anybody knows; nobody else waits any more.
    let waiting = summary.waiting.iter().flat_map(|group| &group.devices);
    for named in waiting {
        assert!(wanted["silent"].contains(&named.name), "{named:?}");
    }
    assert_eq!(told, wanted);

    waves_were_kept(&lived);
    histories_are_whole(&lived);
}

/// Nobody had the release before its wave, and who could have it had it by the end of it.
fn waves_were_kept(lived: &[Lived]) {
    for Lived {
        number,
        wave,
        at_wave,
        ..
    } in lived
    {
        let has = at_wave.iter().position(|version| version == "1.2.0");
        if let Some(has) = has {
            assert!(
                has >= *wave,
                "device {number} of wave {wave} had it after wave {has}"
            );
        }
        let is_quick = matches!(
            fault(*number),
            Fault::Nothing | Fault::Drifted | Fault::SilentFrom(_)
        );
        if is_quick {
            assert_eq!(has, Some(*wave), "device {number}");
        }
    }
    let of_wave = |wave| lived.iter().filter(|lived| lived.wave == wave).count();
    let counts = [of_wave(0), of_wave(1), of_wave(2)];
    assert!(
        (2..=25).contains(&counts[0]) && (60..=130).contains(&counts[1]),
        "{counts:?}"
    );
}

/// No event of what became of releases is lost or doubled.
fn histories_are_whole(lived: &[Lived]) {
    for Lived { number, fates, .. } in lived {
        let wanted: &[Fate] = match fault(*number) {
            Fault::NoBundles | Fault::Untrusting | Fault::BadDisk => &[],
            Fault::Panics | Fault::FailsCheck | Fault::FailsKubernetes | Fault::LosesPower => {
                &[Fate::Installed, Fate::Failed]
            }
            _ => &[Fate::Installed, Fate::Committed],
        };
        assert_eq!(fates, wanted, "device {number}");
    }
}
