//! The fleet in figures. Its JSON form is what `outcrop fleet report --json` prints.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    agent::Waits,
    device_id::DeviceId,
    digest::FileDigest,
    report::{Drift, Health, Report},
};
use serde::Serialize;

use super::{
    Broken, Devices, Found, Read,
    lagging::{Kind, behind, kind, newest_of_each},
};

/// A fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// When it was made.
    pub at: String,
    /// Devices whose newest report counts.
    pub devices: usize,
    /// How many run each release, the newest of each product first.
    pub releases: Vec<ReleaseCount>,
    /// What their agents wait for, and how many do; devices without an agent aren't counted.
    pub agents: Vec<WaitCount>,
    /// Devices that something keeps from the newest release that others of their product and channel run, or from what they tried, by reason.
    pub lagging: Vec<Lagging>,
    /// Devices that don't run that newest release yet, and as planned: their wave, a window, an approval is to come.
    pub waiting: Vec<Lagging>,
    /// Devices on which something isn't as release and configuration have it.
    pub snowflakes: Vec<Named>,
    /// Devices that are degraded.
    pub degraded: Vec<Named>,
    /// Devices of which nothing was heard for too long; of those in the list of devices also who never reported.
    pub silent: Vec<Named>,
    /// Devices whose history has lost events, for as long after that as silence is allowed.
    pub histories: Vec<Named>,
    /// Of how many devices something was remembered; none when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered: Option<usize>,
    /// Files that nobody should believe.
    pub rejected: Vec<RejectedFile>,
}

/// How many devices run a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseCount {
    /// Which one.
    pub release: String,
    /// The channel that those devices follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// How many.
    pub devices: usize,
    /// Who, when it is what others lag behind and hardly anybody runs it: one device that claims a high version makes all others lag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Named>,
}

/// How many agents wait for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitCount {
    /// For what.
    pub waits: String,
    /// How many.
    pub devices: usize,
}

/// Devices that are behind for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lagging {
    /// Why.
    pub reason: String,
    /// Who.
    pub devices: Vec<Named>,
}

/// A device, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Named {
    /// What it is called: by the list of devices, by itself, or by its key.
    pub name: String,
    /// Its name.
    pub device: String,
    /// What is to be said of it.
    pub detail: String,
}

/// A file that nobody should believe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedFile {
    /// The file.
    pub file: String,
    /// Why.
    pub why: String,
}

/// Puts together what reports say. `silent` is after how long nothing heard is too long.
#[must_use]
pub fn summarize(read: &Read, devices: &Devices, now: Timestamp, silent: SignedDuration) -> Summary {
    let reports = || read.reports.iter().map(|found| &found.report);
    let newest = newest_of_each(reports());
    let of = |report: &Report, detail: String| named(report, devices, detail);
    let (mut lagging, mut waiting) = (BTreeMap::new(), BTreeMap::new());
    for report in reports() {
        if let Some(behind) = behind(report, &newest) {
            let groups = if behind.is_planned {
                &mut waiting
            } else {
                &mut lagging
            };
            let group: &mut Vec<Named> = groups.entry(behind.reason).or_default();
            group.push(of(report, behind.detail));
        }
    }
    let alike = alike(reports());
    let snowflakes = reports().filter_map(|report| {
        let drift = drift(report)?;
        let others = alike.get(&drift.fingerprint).copied().unwrap_or(1) - 1;
        Some(of(report, drifted(report, drift, others)))
    });
    let degraded = reports().filter(|report| report.health == Health::Degraded);
    let mut quiet: Vec<Named> = reports()
        .filter(|report| now.duration_since(report.at) > silent)
        .map(|report| of(report, format!("last heard of at {}", report.at)))
        .collect();
    quiet.extend(never_heard_of(read, devices));
    Summary {
        at: now.to_string(),
        devices: read.reports.len(),
        releases: releases(read, devices, &newest),
        agents: agents(reports()),
        lagging: largest_first(lagging),
        waiting: largest_first(waiting),
        snowflakes: snowflakes.collect(),
        degraded: degraded
            .map(|report| of(report, report.running.to_string()))
            .collect(),
        silent: quiet,
        histories: histories(read, devices, now, silent),
        remembered: read.seen.before(),
        rejected: read
            .rejected
            .iter()
            .map(|rejected| RejectedFile {
                file: rejected.path.display().to_string(),
                why: rejected.why.to_string(),
            })
            .collect(),
    }
}

fn largest_first(groups: BTreeMap<&'static str, Vec<Named>>) -> Vec<Lagging> {
    let groups = groups.into_iter().map(|(reason, devices)| Lagging {
        reason: reason.to_owned(),
        devices,
    });
    let mut groups: Vec<Lagging> = groups.collect();
    groups.sort_by_key(|group| Reverse(group.devices.len()));
    groups
}

/// What makes a device a snowflake, if it is one.
fn drift(report: &Report) -> Option<Drift> {
    report.drift.filter(|drift| drift.differences > 0)
}

/// How many devices have drifted in the same way.
fn alike<'r>(reports: impl Iterator<Item = &'r Report>) -> HashMap<FileDigest, usize> {
    let mut alike = HashMap::new();
    for drift in reports.filter_map(drift) {
        *alike.entry(drift.fingerprint).or_default() += 1;
    }
    alike
}

fn drifted(report: &Report, drift: Drift, others: usize) -> String {
    let Drift {
        differences,
        fingerprint,
    } = drift;
    let short: String = fingerprint.to_string().chars().take(12).collect();
    let others = match others {
        0 => String::new(),
        1 => ", as one other".to_owned(),
        others => format!(", as {others} others"),
    };
    format!("{differences} paths differ ({short}{others}), {}", report.running)
}

fn named(report: &Report, devices: &Devices, detail: String) -> Named {
    let device = report.device();
    let name = devices
        .called(&device)
        .map(str::to_owned)
        .or_else(|| report.hostname.clone());
    Named {
        name: name.unwrap_or_else(|| device.to_string()),
        device: device.to_string(),
        detail,
    }
}

/// Devices of ours of which no report counts: those in the list, and those of which one counted once.
fn never_heard_of(read: &Read, devices: &Devices) -> Vec<Named> {
    // Reports are in the order of their devices.
    let is_heard_of = |device: &DeviceId| {
        let found = read.reports.binary_search_by_key(device, |found| found.device);
        found.is_ok()
    };
    let remembered = read.seen.iter().map(|(device, _)| device);
    let ours = devices
        .iter()
        .chain(remembered.filter(|device| devices.knows(device)));
    let missing: BTreeSet<&DeviceId> = ours.filter(|device| !is_heard_of(device)).collect();
    let named = missing.into_iter().map(|device| Named {
        name: devices
            .called(device)
            .map_or_else(|| device.to_string(), str::to_owned),
        device: device.to_string(),
        detail: match read.seen.of(device) {
            None => "no report of it counts".to_owned(),
            Some(seen) => format!(
                "no report of it counts; number {} of {} was its last",
                seen.sequence, seen.at
            ),
        },
    });
    let mut named: Vec<Named> = named.collect();
    named.sort();
    named
}

/// Devices whose history has lost events. Who was told long enough knows it: an old report that lies there tells it for ever.
fn histories(read: &Read, devices: &Devices, now: Timestamp, told: SignedDuration) -> Vec<Named> {
    let broken = read.reports.iter().filter_map(|Found { device, report, .. }| {
        let broken = read.seen.of(device)?.broken?;
        (now.duration_since(broken.at) <= told).then(|| named(report, devices, lost(&broken)))
    });
    broken.collect()
}

fn lost(broken: &Broken) -> String {
    let Broken { before, after, at } = broken;
    let now = match after {
        0 => "then none".to_owned(),
        after if after == before => "then others".to_owned(),
        after => format!("then {after}"),
    };
    format!(
        "had {before} events in its history, {now}, since {at}: damaged and begun anew, or cut off; `outcrop-updater history --verify` on it says more"
    )
}

/// The most frequent first.
fn agents<'r>(reports: impl Iterator<Item = &'r Report>) -> Vec<WaitCount> {
    let mut counts: BTreeMap<Waits, usize> = BTreeMap::new();
    for standing in reports.filter_map(|report| report.agent.as_ref()) {
        *counts.entry(standing.waits).or_default() += 1;
    }
    let mut counts: Vec<(Waits, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, devices)| Reverse(*devices));
    counts
        .into_iter()
        .map(|(waits, devices)| WaitCount {
            waits: waits.as_str().to_owned(),
            devices,
        })
        .collect()
}

/// So few that whose claim it is matters.
const FEW: usize = 3;

fn releases(read: &Read, devices: &Devices, newest: &BTreeMap<Kind, semver::Version>) -> Vec<ReleaseCount> {
    let mut of_kind: BTreeMap<Kind, usize> = BTreeMap::new();
    let mut runs: BTreeMap<(Kind, Reverse<&semver::Version>), Vec<&Report>> = BTreeMap::new();
    for Found { report, .. } in &read.reports {
        let kind = kind(report);
        *of_kind.entry(kind.clone()).or_default() += 1;
        let release = (kind, Reverse(&report.running.version));
        runs.entry(release).or_default().push(report);
    }
    let counted = runs.into_iter().map(|((kind, Reverse(version)), running)| {
        let is_newest = newest.get(&kind) == Some(version);
        let all = of_kind.get(&kind).copied().unwrap_or_default();
        let is_claim_of_few = is_newest && running.len() <= FEW && running.len() * 2 <= all;
        let claimants = running.iter().filter(|_| is_claim_of_few);
        let only = claimants.map(|report| named(report, devices, String::new()));
        let Kind {
            image,
            architecture,
            board,
            channel,
        } = kind;
        ReleaseCount {
            release: format!("{image}-{version}-{architecture}-{board}"),
            channel,
            devices: running.len(),
            only: only.collect(),
        }
    });
    counted.collect()
}
