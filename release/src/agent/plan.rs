//! The next step of a device that looks after its own updates.

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use super::{AgentDefinition, Mode, Spent};
use crate::{
    channel::{Decision, Offer},
    digest::FileDigest,
};

/// What the slots are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots {
    /// What runs is on trial itself.
    pub on_trial: bool,
    /// Whether the next restart tries the other slot.
    pub armed: Armed,
    /// The release that the other slot holds whole, never tried, armed or not: its manifest's digest.
    pub staged: Option<FileDigest>,
}

/// Whether a trial is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Armed {
    /// None is.
    #[default]
    No,
    /// The agent did it, and was about to restart.
    ByAgent,
    /// Somebody else did: the restart is theirs.
    ByOthers,
}

/// What the device is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered<'a> {
    /// No list counts: none was ever had, or the last one is too old.
    Unknown,
    /// What the last list says.
    Decided(Decision<'a>),
}

/// All that the next step depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The site's clock.
    pub now: &'a Zoned,
    /// What holds here.
    pub definition: &'a AgentDefinition,
    /// The slots.
    pub slots: Slots,
    /// What is offered.
    pub offered: Offered<'a>,
    /// The release that somebody has approved: its manifest's digest.
    pub approved: Option<FileDigest>,
    /// What was fetched.
    pub spent: Spent,
    /// Whether fetching costs nothing: from a stick.
    pub is_free: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing, for now.
    Rest(Waits),
    /// Write the release to the other slot.
    Stage {
        /// Which one.
        offer: &'a Offer,
        /// Most bytes that may be fetched; none means any number.
        bytes: Option<u64>,
        /// When to stop.
        until: Option<Timestamp>,
    },
    /// Restart into its trial, if nobody objects.
    Restart(&'a Offer),
    /// Take back the trial that the agent has armed: an armed trial starts with the next power cut, whenever that is. The device waits for this
    /// instead; none: another release is offered.
    Disarm(Option<Waits>),
}

/// What a device waits for: one of few, so that it can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waits {
    /// Something newer.
    News,
    /// A list that counts.
    List,
    /// Its wave.
    Turn,
    /// The release to be offered again: it is paused.
    Paused,
    /// Nothing: a label keeps it back.
    HeldBack,
    /// A newer release: this one failed here, or somebody went back from it.
    Failed,
    /// Somebody's approval.
    Approval,
    /// A window to fetch in.
    DownloadWindow,
    /// The next day's bytes.
    Budget,
    /// A window to restart in.
    Window,
    /// Whoever objects to a restart.
    Inhibitor,
    /// The next try to fetch or restart: the last one failed.
    Retry,
    /// What runs is on trial.
    Trial,
    /// A restart that is somebody else's affair.
    Restart,
}

impl Waits {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::News => "up to date",
            Self::List => "no list counts",
            Self::Turn => "waits for its wave",
            Self::Paused => "paused",
            Self::HeldBack => "held back",
            Self::Failed => "failed here, or given up",
            Self::Approval => "waits for approval",
            Self::DownloadWindow => "waits for a download window",
            Self::Budget => "the day's bytes are spent",
            Self::Window => "waits for a maintenance window",
            Self::Inhibitor => "a restart is objected to",
            Self::Retry => "tries again later",
            Self::Trial => "on trial",
            Self::Restart => "waits for a restart",
        }
    }
}

/// The next step. It only ever fetches or restarts into what the list has this device install now.
#[must_use]
pub fn plan<'a>(situation: &Situation<'a>) -> Step<'a> {
    let Slots { armed, staged, .. } = situation.slots;
    let step = match offered(situation) {
        Ok(offer) if staged == Some(offer.manifest) => {
            if situation.definition.windows.is_open(situation.now) {
                return Step::Restart(offer);
            }
            Step::Rest(Waits::Window)
        }
        Err(waits @ Waits::Trial) => return Step::Rest(waits),
        Ok(offer) => stage(situation, offer),
        Err(waits) => Step::Rest(waits),
    };
    match step {
        _ if armed != Armed::ByAgent => step,
        Step::Rest(waits) => Step::Disarm(Some(waits)),
        _ => Step::Disarm(None),
    }
}

/// What there is to be installed, if anything is.
fn offered<'a>(situation: &Situation<'a>) -> Result<&'a Offer, Waits> {
    match situation.slots {
        Slots { on_trial: true, .. } => return Err(Waits::Trial),
        Slots {
            armed: Armed::ByOthers,
            ..
        } => return Err(Waits::Restart),
        _ => {}
    }
    let Offered::Decided(decision) = situation.offered else {
        return Err(Waits::List);
    };
    let offer = match decision {
        Decision::Install(offer) => offer,
        Decision::UpToDate => return Err(Waits::News),
        Decision::Later { .. } => return Err(Waits::Turn),
        Decision::Paused(_) => return Err(Waits::Paused),
        Decision::HeldBack { .. } => return Err(Waits::HeldBack),
        Decision::Failed(_) => return Err(Waits::Failed),
    };
    match situation.definition.mode {
        Mode::Approved if situation.approved != Some(offer.manifest) => Err(Waits::Approval),
        _ => Ok(offer),
    }
}

fn stage<'a>(situation: &Situation<'a>, offer: &'a Offer) -> Step<'a> {
    let Situation {
        definition,
        now,
        spent,
        ..
    } = situation;
    if situation.is_free {
        return Step::Stage {
            offer,
            bytes: None,
            until: None,
        };
    }
    if !definition.download_windows.is_open(now) {
        return Step::Rest(Waits::DownloadWindow);
    }
    let bytes = definition.daily_limit.map(|limit| spent.left(limit, now.date()));
    if bytes == Some(0) {
        return Step::Rest(Waits::Budget);
    }
    let closes = definition.download_windows.closes(now);
    // The next day's bytes are counted by the next day's run.
    let midnight = bytes.and_then(|_| midnight(now));
    let until = [closes, midnight].into_iter().flatten().min();
    Step::Stage { offer, bytes, until }
}

/// When the site's day ends.
fn midnight(now: &Zoned) -> Option<Timestamp> {
    let tomorrow = now.tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
    tomorrow.ok().map(|midnight| midnight.timestamp())
}
