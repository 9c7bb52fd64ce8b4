//! The fleet in figures. Its JSON form is what `outcrop fleet report --json` prints.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    agent::Waits,
    device_id::DeviceId,
    digest::FileDigest,
    name::ReleaseName,
    report::{Drift, Health, Report},
};
use serde::Serialize;

use super::{Broken, Devices, Found, Read};

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
    /// Devices that don't run the newest release of their product that others run, or say themselves that they can't get on, by reason.
    pub lagging: Vec<Lagging>,
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
    /// How many.
    pub devices: usize,
}

/// How many agents wait for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitCount {
    /// For what.
    pub waits: String,
    /// How many.
    pub devices: usize,
}

/// Devices that lag behind for one reason.
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
    let mut lagging: BTreeMap<String, Vec<Named>> = BTreeMap::new();
    for report in reports() {
        if let Some((reason, detail)) = lags(report, &newest) {
            lagging.entry(reason).or_default().push(of(report, detail));
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
    let mut lagging: Vec<Lagging> = lagging
        .into_iter()
        .map(|(reason, devices)| Lagging { reason, devices })
        .collect();
    lagging.sort_by_key(|group| std::cmp::Reverse(group.devices.len()));
    Summary {
        at: now.to_string(),
        devices: read.reports.len(),
        releases: releases(reports()),
        agents: agents(reports()),
        lagging,
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

/// What makes two devices of one kind: product, architecture, board.
type Kind = (String, String, String);

fn kind(release: &ReleaseName) -> Kind {
    (
        release.image.to_string(),
        release.architecture.to_string(),
        release.board.to_string(),
    )
}

/// The newest release of each kind that somebody runs.
fn newest_of_each<'r>(reports: impl Iterator<Item = &'r Report>) -> BTreeMap<Kind, semver::Version> {
    let mut newest: BTreeMap<Kind, semver::Version> = BTreeMap::new();
    for report in reports {
        let version = newest
            .entry(kind(&report.running))
            .or_insert_with(|| report.running.version.clone());
        if *version < report.running.version {
            version.clone_from(&report.running.version);
        }
    }
    newest
}

/// Why a device isn't where it should be, if it isn't: others run something newer, or it says itself that it can't get on.
fn lags(report: &Report, newest: &BTreeMap<Kind, semver::Version>) -> Option<(String, String)> {
    let version = &report.running.version;
    let others = newest.get(&kind(&report.running)).cloned();
    let target = others.max(tried(report)).filter(|target| target > version);
    let is_kept = report.agent.as_ref().is_some_and(|agent| agent.reason.is_some());
    if target.is_none() && !is_kept {
        return None;
    }
    let (why, about, detail) = why(report);
    let mut text = format!("runs {version}");
    let target = target.map(|target| target.to_string());
    if let Some(target) = &target {
        let _infallible = write!(text, " instead of {target}");
    }
    match (about, detail) {
        (Some(about), Some(detail)) if target.as_deref() != Some(about) => {
            let _infallible = write!(text, "; {about}: {detail}");
        }
        (_, Some(detail)) => {
            let _infallible = write!(text, ": {detail}");
        }
        (_, None) => {}
    }
    Some((why.to_owned(), text))
}

/// The version that a device has tried and doesn't run. In a first wave nobody else may run it, either.
fn tried(report: &Report) -> Option<semver::Version> {
    let agent = report.agent.as_ref();
    let is_content = agent.is_some_and(|agent| agent.waits == Waits::News && agent.reason.is_none());
    let kept = agent
        .filter(|agent| agent.reason.is_some())
        .and_then(|agent| agent.version.as_deref());
    // What was withdrawn since is nobody's trouble any more.
    let last = report
        .last
        .as_ref()
        .filter(|last| last.reason.is_some() && !is_content);
    let failed = last.map(|last| last.version.as_str());
    let versions = kept.into_iter().chain(failed);
    versions.filter_map(|version| version.parse().ok()).max()
}

/// Why a device isn't further, which version that is about, and what it says itself: what keeps it now counts before how its last update went, and
/// that before what it waits for.
fn why(report: &Report) -> (&'static str, Option<&str>, Option<&str>) {
    let (agent, last) = (report.agent.as_ref(), report.last.as_ref());
    let trouble = agent.and_then(|agent| Some((agent.reason?, &agent.version, &agent.detail)));
    if let Some((reason, version, detail)) = trouble {
        return (reason.as_str(), version.as_deref(), detail.as_deref());
    }
    let failure = last.and_then(|last| Some((last.reason?, last)));
    if let Some((reason, last)) = failure {
        return (reason.as_str(), Some(&last.version), last.detail.as_deref());
    }
    // Who is content with what runs hasn't heard of the newest yet.
    let waiting = agent.filter(|agent| agent.waits != Waits::News);
    waiting.map_or(("not updated yet", None, None), |agent| {
        (
            agent.waits.as_str(),
            agent.version.as_deref(),
            agent.detail.as_deref(),
        )
    })
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
    counts.sort_by_key(|(_, devices)| std::cmp::Reverse(*devices));
    counts
        .into_iter()
        .map(|(waits, devices)| WaitCount {
            waits: waits.as_str().to_owned(),
            devices,
        })
        .collect()
}

fn releases<'r>(reports: impl Iterator<Item = &'r Report>) -> Vec<ReleaseCount> {
    let mut counts: BTreeMap<(Kind, semver::Version), usize> = BTreeMap::new();
    for report in reports {
        *counts
            .entry((kind(&report.running), report.running.version.clone()))
            .or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|((one, older), _), ((other, newer), _)| one.cmp(other).then(newer.cmp(older)));
    counts
        .into_iter()
        .map(
            |(((image, architecture, board), version), devices)| ReleaseCount {
                release: format!("{image}-{version}-{architecture}-{board}"),
                devices,
            },
        )
        .collect()
}

impl Summary {
    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{} devices\n", self.devices);
        for ReleaseCount { release, devices } in &self.releases {
            let _infallible = writeln!(text, "{devices:>8}  {release}");
        }
        if !self.agents.is_empty() {
            text += "\nagents\n";
        }
        for WaitCount { waits, devices } in &self.agents {
            let _infallible = writeln!(text, "{devices:>8}  {waits}");
        }
        let mut section = |title: String, named: &[Named]| {
            if !named.is_empty() {
                let _infallible = writeln!(text, "\n{title}: {}", named.len());
            }
            for Named { name, detail, .. } in named {
                let _infallible = writeln!(text, "  {name}  {detail}");
            }
        };
        for group in &self.lagging {
            section(format!("lagging, {}", group.reason), &group.devices);
        }
        section("snowflakes".to_owned(), &self.snowflakes);
        section("degraded".to_owned(), &self.degraded);
        section("silent".to_owned(), &self.silent);
        section("histories that lost events".to_owned(), &self.histories);
        if let Some(remembered) = self.remembered {
            let _infallible = writeln!(text, "\n{remembered} devices were remembered");
        }
        if !self.rejected.is_empty() {
            let _infallible = writeln!(text, "\nnot believed: {}", self.rejected.len());
        }
        for RejectedFile { file, why } in &self.rejected {
            let _infallible = writeln!(text, "  {file}  {why}");
        }
        text
    }
}
