//! One run of the agent.

use jiff::Timestamp;
use outcrop_release::{
    agent::{Offered, Situation, Step, Waits, is_due, next_after_failure, next_after_success, plan},
    channel::{Accepted, Offer, decide, withdrawn},
    digest::FileDigest,
    journal::{Deed, Event},
    report::{Reason, Standing},
};

use super::{
    approval::settle,
    armed::{ArmedBy, Armer},
    memory::{Failing, Memory, MemoryError},
    site::{Arming, Site, StageEnd, Trouble, Who, slots},
};
use crate::{chain, channel::FollowError, install::Limits};

/// Steps of one run: more would go round in a circle.
const MOST_STEPS: usize = 4;
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
    visit: Visit,
}

/// Where a run rests.
struct Rest {
    waits: Waits,
    version: Option<String>,
    reason: Option<Reason>,
    detail: Option<String>,
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
        // Before anything is decided: it may make a release wanted again.
        let approved = self.approved();
        let rest = match self.site.who() {
            Ok(who) => {
                let list = self.list(&who);
                self.steps(&who, list.as_ref(), approved)
            }
            Err(trouble) => Err((None, trouble)),
        };
        let rest = rest.unwrap_or_else(|(version, trouble)| self.failed(version, trouble));
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

    /// The channel's list: asked for when it is time, else the one that is remembered.
    fn list(&mut self, who: &Who) -> Option<Accepted> {
        let (now, interval) = (self.now(), self.site.definition().poll);
        let asks = match self.visit {
            Visit::Stick => true,
            Visit::Timer => self.site.has_tree() && is_due(self.memory.next_poll, now, interval),
        };
        if !asks {
            return self.site.recall();
        }
        let asked = self.site.ask();
        if self.visit == Visit::Stick {
            // What a stick has or hasn't says nothing about the next day.
            return match asked {
                Ok(followed) => {
                    let _told = followed.unkept.as_deref().map(|why| self.unkept(why));
                    Some(followed.list)
                }
                Err(error) => {
                    let failing = list_failing(&error);
                    self.list_failed(&error, &failing);
                    None
                }
            };
        }
        match asked {
            Ok(followed) => {
                self.memory.poll_failures = 0;
                self.memory.list_trouble = followed.unkept.as_deref().map(|why| self.unkept(why));
                self.memory.next_poll = Some(next_after_success(who.device, now, interval));
                Some(followed.list)
            }
            Err(error) => {
                let failures = self.memory.poll_failures.saturating_add(1);
                self.memory.poll_failures = failures;
                self.memory.next_poll = Some(next_after_failure(who.device, now, interval, failures));
                let failing = list_failing(&error);
                self.memory.list_trouble = Some(failing.clone());
                self.list_failed(&error, &failing);
                self.site.recall()
            }
        }
    }

    /// A list that doesn't count: refused ones are in the history, each kind once in a row.
    fn list_failed(&mut self, error: &FollowError, failing: &Failing) {
        if self.before.list_trouble.as_ref() == Some(failing) {
            return;
        }
        if let FollowError::Refused { channel, .. } = error {
            self.note(Event::Refused {
                what_was: format!("a list of the channel {channel}"),
                reason: failing.detail.clone(),
            });
        }
        self.site.tell(&failing.detail);
    }

    /// A list that counts, and couldn't be kept: the operator learns that there is no room.
    fn unkept(&mut self, why: &str) -> Failing {
        let failing = Failing {
            reason: Reason::Storage,
            version: None,
            detail: short(why),
        };
        if self.before.list_trouble.as_ref() != Some(&failing) {
            self.site.tell(&failing.detail);
        }
        failing
    }

    fn steps(
        &mut self,
        who: &Who,
        list: Option<&Accepted>,
        approved: Option<FileDigest>,
    ) -> Result<Rest, (Option<String>, Trouble)> {
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
                Step::Stage { .. } if !self.site.has_tree() => {
                    let detail = "it was offered on a stick: plug that in again".to_owned();
                    Rest::for_(Waits::Retry, version, Some(detail))
                }
                Step::Stage { offer, bytes, until } => {
                    match self.stage(offer, Limits { bytes, until }).map_err(failed)? {
                        None => continue,
                        // Hours may have gone by.
                        Some(waits) => {
                            Rest::for_(waits, version, opening(waits, &definition, &self.site.now()))
                        }
                    }
                }
                Step::Restart(offer) => match self.site.objection() {
                    Some(objection) => Rest::for_(Waits::Inhibitor, version, Some(short(&objection))),
                    None => {
                        self.restart(offer).map_err(failed)?;
                        Rest {
                            restarting: true,
                            ..Rest::for_(Waits::Trial, version, None)
                        }
                    }
                },
                Step::Disarm => {
                    self.disarm(version.clone().unwrap_or_default()).map_err(failed)?;
                    continue;
                }
            };
            return Ok(rest);
        }
        Ok(Rest::for_(Waits::Retry, version, None))
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

    fn disarm(&mut self, version: String) -> Result<(), Trouble> {
        let (record, running) = self.site.record()?;
        self.will_take_back(version, record.slot(running.other()).release);
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
        let is_news = self.memory.step_trouble.as_ref() != Some(&failing);
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

fn list_failing(error: &FollowError) -> Failing {
    Failing {
        reason: match error {
            FollowError::Fetch { .. } => Reason::Network,
            FollowError::Refused { .. } => Reason::Refused,
            FollowError::State(_) => Reason::Storage,
        },
        version: None,
        detail: short(&chain::describe(error)),
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
fn short(text: &str) -> String {
    text.replace(char::is_control, " ")
        .chars()
        .take(DETAIL_CHARACTERS)
        .collect()
}
