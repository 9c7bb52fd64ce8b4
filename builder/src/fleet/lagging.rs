//! Who isn't where others are: because something keeps it, or because its turn is yet to come.

use std::{collections::BTreeMap, fmt::Write as _};

use outcrop_release::{agent::Waits, report::Report};

/// What makes two devices comparable. What a laboratory's channel offers is nothing that the others lag behind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) image: String,
    pub(super) architecture: String,
    pub(super) board: String,
    /// The channel that they follow.
    pub(super) channel: Option<String>,
}

pub(super) fn kind(report: &Report) -> Kind {
    let release = &report.running;
    Kind {
        image: release.image.to_string(),
        architecture: release.architecture.to_string(),
        board: release.board.to_string(),
        channel: report.channel.as_ref().map(|channel| channel.name.clone()),
    }
}

/// The newest release of each kind that somebody runs.
pub(super) fn newest_of_each<'r>(
    reports: impl Iterator<Item = &'r Report>,
) -> BTreeMap<Kind, semver::Version> {
    let mut newest: BTreeMap<Kind, semver::Version> = BTreeMap::new();
    for report in reports {
        let version = newest
            .entry(kind(report))
            .or_insert_with(|| report.running.version.clone());
        if *version < report.running.version {
            version.clone_from(&report.running.version);
        }
    }
    newest
}

/// That a device isn't where others are.
pub(super) struct Behind {
    /// Why, in the same words for all.
    pub(super) reason: &'static str,
    /// Whether that is as planned: it is counted, and nobody needs to do anything.
    pub(super) is_planned: bool,
    /// For people.
    pub(super) detail: String,
}

/// Why a device isn't where it should be, if it isn't: others run something newer, or it says itself that it can't get on.
pub(super) fn behind(report: &Report, newest: &BTreeMap<Kind, semver::Version>) -> Option<Behind> {
    let version = &report.running.version;
    let others = newest.get(&kind(report)).cloned();
    let target = others.max(tried(report)).filter(|target| target > version);
    let agent = report.agent.as_ref();
    let is_kept = agent.is_some_and(|agent| agent.reason.is_some() || agent.waits == Waits::List);
    if target.is_none() && !is_kept {
        return None;
    }
    let why = why(report);
    let mut detail = format!("runs {version}");
    let target = target.map(|target| target.to_string());
    if let Some(target) = &target {
        let _infallible = write!(detail, " instead of {target}");
    }
    match (why.about, why.detail) {
        (Some(about), Some(said)) if target.as_deref() != Some(about) => {
            let _infallible = write!(detail, "; {about}: {said}");
        }
        (_, Some(said)) => {
            let _infallible = write!(detail, ": {said}");
        }
        (_, None) => {}
    }
    Some(Behind {
        reason: why.reason,
        is_planned: why.is_planned,
        detail,
    })
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

struct Why<'r> {
    reason: &'static str,
    is_planned: bool,
    /// Which version it is about.
    about: Option<&'r str>,
    /// What the device says itself.
    detail: Option<&'r str>,
}

/// What keeps a device now counts before how its last update went, and that before what it waits for.
fn why(report: &Report) -> Why<'_> {
    let (agent, last) = (report.agent.as_ref(), report.last.as_ref());
    if let Some((agent, reason)) = agent.and_then(|agent| Some((agent, agent.reason?))) {
        return Why {
            reason: reason.as_str(),
            is_planned: false,
            about: agent.version.as_deref(),
            detail: agent.detail.as_deref(),
        };
    }
    if let Some((last, reason)) = last.and_then(|last| Some((last, last.reason?))) {
        return Why {
            reason: reason.as_str(),
            is_planned: false,
            about: Some(&last.version),
            detail: last.detail.as_deref(),
        };
    }
    // Who is content with what runs hasn't heard of the newest yet.
    match agent.filter(|agent| agent.waits != Waits::News) {
        None => Why {
            reason: "not updated yet",
            is_planned: true,
            about: None,
            detail: None,
        },
        Some(agent) => Why {
            reason: agent.waits.as_str(),
            is_planned: is_planned(agent.waits),
            about: agent.version.as_deref(),
            detail: agent.detail.as_deref(),
        },
    }
}

/// Whether waiting for that ends by itself, or when somebody decides what only they can.
const fn is_planned(waits: Waits) -> bool {
    !matches!(waits, Waits::List | Waits::Failed)
}
