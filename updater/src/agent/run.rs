//! One run of the agent.

use jiff::Timestamp;
use outcrop_release::{
    agent::{Armed, Offered, Situation, Step, Waits, is_due, next_after_failure, plan},
    channel::{Accepted, Offer, decide, withdrawn},
    digest::FileDigest,
    journal::Deed,
    report::{Reason, Standing},
};

use super::{
    approval::settle,
    armed::{ArmedBy, Armer},
    memory::{Failing, Memory, MemoryError},
    site::{Arming, Site, StageEnd, Trouble, Who, slots},
};
use crate::{chain, install::Limits};

/// Steps between two looks at everything: more would go round in a circle.
const MOST_STEPS: usize = 4;
/// Looks at everything in a run: a release that is staged, a day or two that end meanwhile.
const MOST_PASSES: usize = 8;
/// Longest text of a reason, in characters.
const DETAIL_CHARACTERS: usize = 300;

/// What the agent was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// It is time to look after things.
    Timer,
    /// Somebody has brought a publish tree: it is asked at once, and once.
    Stick,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How the device stands.
    pub standing: Standing,
    /// The device restarts.
    pub restarting: bool,
}

/// Takes the steps that can be taken now. Whatever fails is kept, told, and tried again in a later run.
pub fn run(site: &mut impl Site, visit: Visit) -> Outcome {
    let memory = memory(site);
    let mut run = Run {
        before: memory.clone(),
        memory,
        visit,
        site,
        stick_trouble: None,
        unkept: None,
    };
    let outcome = run.go();
    run.tell(&outcome);
    if !outcome.restarting {
        run.report(&outcome.standing);
    }
    run.keep();
    outcome
}

/// What is kept; nothing where that can't be read. The history and the boot record, which count, are elsewhere.
fn memory(site: &mut impl Site) -> Memory {
    let loaded = Memory::load(&site.state());
    loaded.unwrap_or_else(|error: MemoryError| {
        site.tell(&format!("the agent begins anew: {}", chain::describe(&error)));
        Memory::default()
    })
}

/// One run.
pub(super) struct Run<'s, S> {
    pub(super) site: &'s mut S,
    pub(super) memory: Memory,
    /// What the disk has of it.
    pub(super) before: Memory,
    pub(super) visit: Visit,
    /// Why a stick gave no list that counts.
    pub(super) stick_trouble: Option<Failing>,
    /// A list that counts, and couldn't be kept.
    pub(super) unkept: Option<Accepted>,
}

/// How far a look at everything has led.
enum Passed {
    /// To a step after which all is to be looked at again.
    GoesOn,
    /// To where nothing more can be done now.
    Rests(Rest),
}

/// Where a run rests.
pub(super) struct Rest {
    waits: Waits,
    version: Option<String>,
    pub(super) reason: Option<Reason>,
    pub(super) detail: Option<String>,
    restarting: bool,
}

impl Rest {
    const fn for_(waits: Waits, version: Option<String>, detail: Option<String>) -> Self {
        Self {
            waits,
            version,
            reason: None,
            detail,
            restarting: false,
        }
    }
}

impl<S: Site> Run<'_, S> {
    pub(super) fn now(&self) -> Timestamp {
        self.site.now().timestamp()
    }

    fn go(&mut self) -> Outcome {
        self.settle_untold();
        let rest = (0..MOST_PASSES).find_map(|_| match self.pass() {
            Ok(Passed::GoesOn) => None,
            Ok(Passed::Rests(rest)) => Some(rest),
            Err((version, trouble)) => Some(self.failed(version, trouble)),
        });
        let mut rest = rest.unwrap_or(Rest::for_(Waits::Retry, None, None));
        self.add_stick(&mut rest);
        if rest.waits != Waits::Retry {
            self.memory.step_trouble = None;
        }
        let failing = self
            .memory
            .step_trouble
            .as_ref()
            .or(self.memory.list_trouble.as_ref());
        let standing = Standing {
            waits: rest.waits,
            version: rest
                .version
                .or_else(|| failing.and_then(|failing| failing.version.clone())),
            reason: rest.reason.or_else(|| failing.map(|failing| failing.reason)),
            detail: rest
                .detail
                .or_else(|| failing.map(|failing| failing.detail.clone())),
        };
        Outcome {
            standing,
            restarting: rest.restarting,
        }
    }

    /// Looks at everything and takes steps, up to one that may have taken hours: approval and list may be others by then.
    fn pass(&mut self) -> Result<Passed, (Option<String>, Trouble)> {
        // Before anything is decided: it may make a release wanted again.
        let approved = self.approved();
        let who = self.site.who().map_err(|trouble| (None, trouble))?;
        let list = self.list(&who);
        self.steps(&who, list.as_ref(), approved)
    }

    fn steps(
        &mut self,
        who: &Who,
        list: Option<&Accepted>,
        approved: Option<FileDigest>,
    ) -> Result<Passed, (Option<String>, Trouble)> {
        let decided = list.map(|list| decide(list, &who.subscriber()));
        let about = decided.and_then(|decision| decision.offer());
        let version = about.map(|offer| offer.release.version.to_string());
        let failed = |trouble| (version.clone(), trouble);
        for _ in 0..MOST_STEPS {
            let (record, running) = self.site.record().map_err(failed)?;
            let slots = slots(&record, running, self.arming());
            let (now, definition) = (self.site.now(), self.site.definition().clone());
            let step = plan(&Situation {
                now: &now,
                definition: &definition,
                slots,
                offered: decided.map_or(Offered::Unknown, Offered::Decided),
                approved,
                spent: self.memory.spent,
                is_free: self.site.is_free(),
            });
            let is_early = !is_due(self.memory.next_step, now.timestamp(), definition.poll);
            let rest = match step {
                Step::Rest(Waits::News) => Rest::for_(Waits::News, None, taken_back(who, list)),
                Step::Rest(Waits::Failed)
                    if about.is_some_and(|offer| who.given_up.contains(&offer.manifest)) =>
                {
                    // Whoever wants it again begins anew.
                    self.memory.restarting = None;
                    given_up(version)
                }
                Step::Rest(waits) => Rest::for_(waits, version, opening(waits, &definition, &now)),
                Step::Stage { .. } | Step::Restart(_) if is_early && self.visit == Visit::Timer => {
                    Rest::for_(Waits::Retry, version, None)
                }
                // It has no list that counts: it needn't have what is offered, either.
                Step::Stage { .. } if self.stick_trouble.is_some() => Rest::for_(Waits::Retry, version, None),
                Step::Stage { .. } if !self.site.has_tree() => {
                    let detail = "it was offered on a stick: plug that in again".to_owned();
                    Rest::for_(Waits::Retry, version, Some(detail))
                }
                Step::Stage { offer, bytes, until } => {
                    return self
                        .fetch(offer, Limits { bytes, until }, version.clone())
                        .map_err(failed);
                }
                Step::Restart(offer) => {
                    let is_armed = slots.armed == Armed::ByAgent;
                    self.try_restart(offer, is_armed, version.clone())
                        .map_err(failed)?
                }
                Step::Disarm(waits) => {
                    self.disarm(waits).map_err(failed)?;
                    continue;
                }
            };
            return Ok(Passed::Rests(rest));
        }
        Ok(Passed::Rests(Rest::for_(Waits::Retry, version, None)))
    }

    /// Stages, which may take hours.
    fn fetch(&mut self, offer: &Offer, limits: Limits, version: Option<String>) -> Result<Passed, Trouble> {
        let waits = self.stage(offer, limits)?;
        let (now, definition) = (self.site.now(), self.site.definition());
        Ok(match waits {
            None => Passed::GoesOn,
            // The day has ended, and its bytes: the window hasn't.
            Some(Waits::DownloadWindow) if definition.download_windows.is_open(&now) => Passed::GoesOn,
            Some(waits) => Passed::Rests(Rest::for_(waits, version, opening(waits, definition, &now))),
        })
    }

    /// Restarts, unless somebody objects.
    fn try_restart(
        &mut self,
        offer: &Offer,
        is_armed: bool,
        version: Option<String>,
    ) -> Result<Rest, Trouble> {
        if let Some(objection) = self.site.objection() {
            if is_armed {
                self.disarm(Some(Waits::Inhibitor))?;
            }
            return Ok(Rest::for_(Waits::Inhibitor, version, Some(short(&objection))));
        }
        self.restart(offer)?;
        Ok(Rest {
            restarting: true,
            ..Rest::for_(Waits::Trial, version, None)
        })
    }

    fn arming(&self) -> Arming {
        Arming {
            now: ArmedBy::load(&self.site.run_folder()),
            last: self.memory.armed(),
        }
    }

    fn approved(&mut self) -> Option<FileDigest> {
        match settle(self.site) {
            Ok(approval) => approval?.digest(),
            Err(trouble) => {
                self.site.tell(&trouble.detail);
                None
            }
        }
    }

    /// Stages; what to wait for when it isn't done and hasn't failed.
    fn stage(&mut self, offer: &Offer, limits: Limits) -> Result<Option<Waits>, Trouble> {
        let (before, today) = (self.memory.spent, self.site.now().date());
        if let Some(bytes) = limits.bytes {
            // Until it is known what was fetched, all of it counts: a power cut gives nothing back.
            self.memory.spent = before.and(bytes, today);
            if !self.keep() {
                // Nobody would know the next time what this one has cost.
                self.memory.spent = before;
                return Err(Trouble {
                    reason: Reason::Storage,
                    detail: "what is fetched can't be counted, and the link is metered: make room in /var"
                        .to_owned(),
                });
            }
        }
        let (fetched, end) = self.site.stage(offer, limits);
        self.memory.spent = match limits.bytes {
            Some(_) => before.and(fetched, today),
            None => before,
        };
        match end {
            Ok(()) => {
                self.memory.step_failures = 0;
                self.memory.next_step = None;
                Ok(None)
            }
            Err(StageEnd::Spent) => Ok(Some(Waits::Budget)),
            Err(StageEnd::Closed) => Ok(Some(Waits::DownloadWindow)),
            Err(StageEnd::Stopped) => Ok(Some(Waits::Retry)),
            Err(StageEnd::Failed(trouble)) => Err(trouble),
        }
    }

    fn restart(&mut self, offer: &Offer) -> Result<(), Trouble> {
        let is_news = !self.arming().is_ours(offer.manifest);
        let armed = ArmedBy {
            who: Armer::Agent,
            release: offer.manifest,
        };
        // First: an armed trial that nobody remembers would be taken for somebody else's.
        let marked = armed.save(&self.site.run_folder());
        self.memory.restarting = Some(offer.manifest.to_string());
        self.memory.next_step = None;
        if is_news {
            self.decided(Deed::Restart, offer.release.version.to_string(), None);
        }
        let is_kept = self.keep();
        match marked {
            Err(error) if !is_kept => Err(Trouble {
                reason: Reason::Storage,
                detail: format!(
                    "who arms the trial can be kept nowhere, and so it isn't armed: {}",
                    chain::describe(&error)
                ),
            }),
            _ => self.site.restart(),
        }
    }

    /// Takes the armed trial back, to wait for this instead; none: another release is offered.
    fn disarm(&mut self, waits: Option<Waits>) -> Result<(), Trouble> {
        let why = waits.map_or("another release is offered", Waits::as_str);
        let (record, running) = self.site.record()?;
        let slot = running.other();
        self.will_take_back(slot, record.slot(slot).release, why);
        self.site.disarm()?;
        self.memory.restarting = None;
        // It says nothing where nothing is armed.
        let _gone_or_not = ArmedBy::forget(&self.site.run_folder());
        self.settle_untold();
        Ok(())
    }

    /// A step that failed: it is told once, and tried again later and later.
    fn failed(&mut self, version: Option<String>, trouble: Trouble) -> Rest {
        let failing = Failing {
            reason: trouble.reason,
            version: version.clone(),
            detail: short(&trouble.detail),
        };
        let known = self.memory.step_trouble.as_ref();
        let is_news = !known.is_some_and(|known| known.is_like(&failing));
        let failures = self.memory.step_failures.saturating_add(1);
        self.memory.step_failures = failures;
        let (now, interval) = (self.now(), self.site.definition().poll);
        let device = self.site.who().map(|who| who.device);
        self.memory.next_step = device
            .ok()
            .map(|device| next_after_failure(device, now, interval, failures));
        let reason = failing.detail.clone();
        self.memory.step_trouble = Some(failing);
        if is_news && let Some(version) = version.clone() {
            self.decided(Deed::PutOff, version, Some(reason));
        }
        Rest::for_(Waits::Retry, version, None)
    }

    /// Keeps what changed; whether it is on the disk. That it isn't is told.
    pub(super) fn keep(&mut self) -> bool {
        if self.memory == self.before {
            return true;
        }
        match self.memory.save(&self.site.state()) {
            Ok(()) => {
                self.before = self.memory.clone();
                true
            }
            Err(error) => {
                let line = format!("what the agent does can't be kept: {}", chain::describe(&error));
                self.site.tell(&line);
                false
            }
        }
    }
}

/// Why what runs isn't offered any more, if it was taken back.
fn taken_back(who: &Who, list: Option<&Accepted>) -> Option<String> {
    let withdrawn = withdrawn(list?, &who.subscriber())?;
    Some(short(&format!("what runs was withdrawn: {}", withdrawn.reason)))
}

/// A release that somebody at the device doesn't want.
fn given_up(version: Option<String>) -> Rest {
    let named = version.as_deref().unwrap_or_default();
    let detail = format!(
        "somebody went back from it or took its trial back: `outcrop-updater approve {named}` has it installed"
    );
    Rest {
        reason: Some(Reason::Operator),
        ..Rest::for_(Waits::Failed, version, Some(detail))
    }
}

/// When a window opens that is waited for.
fn opening(
    waits: Waits,
    definition: &outcrop_release::agent::AgentDefinition,
    now: &jiff::Zoned,
) -> Option<String> {
    let windows = match waits {
        Waits::Window => &definition.windows,
        Waits::DownloadWindow => &definition.download_windows,
        _ => return None,
    };
    Some(format!("until {}", windows.opens(now)?))
}

/// A text that fits into a report.
pub(super) fn short(text: &str) -> String {
    text.replace(char::is_control, " ")
        .chars()
        .take(DETAIL_CHARACTERS)
        .collect()
}
