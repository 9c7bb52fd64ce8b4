use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use jiff::{SignedDuration, Timestamp, Zoned, civil::DateTime, tz::TimeZone};
use proptest::prelude::*;

use super::*;
use crate::{
    channel::{Accepted, Admission, Channel, Lifetime, Publication, Subscriber, accept, decide},
    device_id::DeviceId,
    digest::FileDigest,
    manifest::RollbackIndex,
    name::ReleaseName,
    signed,
    trust::{PublicKey, Purpose, Role, Signature, Signatures, Trust, signed_message},
};

fn release(version: &str) -> ReleaseName {
    ReleaseName {
        image: "edge".parse().unwrap(),
        version: version.parse().unwrap(),
        architecture: "x86_64".parse().unwrap(),
        board: "efi".parse().unwrap(),
    }
}

fn digest(version: &str) -> FileDigest {
    FileDigest::of(version.as_bytes())
}

/// A list that offers 1.1.0, signed and taken.
fn list() -> Accepted {
    let (key, now) = (
        SigningKey::from_bytes(&[2; 32]),
        Timestamp::from_second(1_796_000_000).unwrap(),
    );
    let public = |seed: u8| {
        PublicKey::from_bytes(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes()).unwrap()
    };
    let lifetime = Lifetime {
        issued: now,
        counts_for: SignedDuration::from_hours(24),
    };
    let publication = Publication {
        release: release("1.1.0"),
        manifest: digest("1.1.0"),
        bytes: 1000,
        rollback_index: RollbackIndex(0),
        waves: "100%".parse().unwrap(),
        hold_back: Vec::new(),
    };
    let channel = Channel::new("stable".parse().unwrap(), lifetime).unwrap();
    let document = channel.publish(vec![publication], lifetime).unwrap().to_bytes();
    let mut signatures = Signatures::default();
    let bytes = key.sign(&signed_message(Purpose::Channel, &document)).to_bytes();
    signatures
        .add(Signature {
            key: public(2),
            bytes,
        })
        .unwrap();
    let trust = Trust::new(1, vec![("release".to_owned(), public(1))])
        .unwrap()
        .with_channel(Role::new(1, vec![("channel".to_owned(), public(2))]).unwrap())
        .unwrap();
    let admission = Admission {
        trust: &trust,
        name: &"stable".parse().unwrap(),
        seen: None,
        now,
        built: now,
    };
    accept(&signed::join(&document, &signatures), &admission).unwrap()
}

/// What a step depends on, to be changed.
#[derive(Debug, Clone)]
struct World {
    now: Zoned,
    definition: AgentDefinition,
    slots: Slots,
    running: &'static str,
    failed: Vec<FileDigest>,
    knows_list: bool,
    approved: Option<FileDigest>,
    spent: Spent,
    is_free: bool,
}

impl World {
    /// A Monday at noon, and 1.0.0 runs.
    fn new() -> Self {
        Self {
            now: at("2026-11-30T12:00:00"),
            definition: AgentDefinition::default(),
            slots: Slots::default(),
            running: "1.0.0",
            failed: Vec::new(),
            knows_list: true,
            approved: None,
            spent: Spent::default(),
            is_free: false,
        }
    }

    /// The step, in words.
    fn step(&self) -> String {
        let (list, labels, running) = (list(), BTreeMap::new(), release(self.running));
        let device = Subscriber {
            device: DeviceId::from_bytes([1; 16]),
            labels: &labels,
            running: &running,
            manifest: None,
            failed: &self.failed,
        };
        let decided = Offered::Decided(decide(&list, &device));
        let situation = Situation {
            now: &self.now,
            definition: &self.definition,
            slots: self.slots,
            offered: if self.knows_list {
                decided
            } else {
                Offered::Unknown
            },
            approved: self.approved,
            spent: self.spent,
            is_free: self.is_free,
        };
        match plan(&situation) {
            Step::Rest(waits) => waits.as_str().to_owned(),
            Step::Stage { offer, bytes, until } => {
                let mut text = format!("stage {}", offer.release.version);
                text += &bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
                text + &until.map(|until| format!(", until {until}")).unwrap_or_default()
            }
            Step::Restart(offer) => format!("restart into {}", offer.release.version),
            Step::Disarm(None) => "disarm".to_owned(),
            Step::Disarm(Some(waits)) => format!("disarm: {}", waits.as_str()),
        }
    }
}

fn at(text: &str) -> Zoned {
    text.parse::<DateTime>().unwrap().to_zoned(TimeZone::UTC).unwrap()
}

fn nights() -> Windows {
    Windows::new(vec!["01:00-05:00".parse().unwrap()]).unwrap()
}

#[test]
fn a_release_is_fetched_at_any_time_and_started_in_a_window() {
    let mut world = World::new();
    world.definition.windows = nights();
    assert_eq!(world.step(), "stage 1.1.0");
    world.slots.staged = Some(digest("1.1.0"));
    assert_eq!(world.step(), "waits for a maintenance window");
    world.now = at("2026-12-01T01:00:00");
    assert_eq!(world.step(), "restart into 1.1.0");
    // What the slot holds from before is no reason to start it.
    world.slots.staged = Some(digest("1.0.9"));
    assert_eq!(world.step(), "stage 1.1.0");
    world.running = "1.1.0";
    assert_eq!(world.step(), "up to date");
}

#[test]
fn nothing_is_done_while_a_trial_runs_or_somebody_else_has_armed_one() {
    let mut world = World::new();
    world.slots.on_trial = true;
    assert_eq!(world.step(), "on trial");
    world.slots = Slots {
        on_trial: false,
        armed: Armed::ByOthers,
        staged: Some(digest("1.1.0")),
    };
    assert_eq!(world.step(), "waits for a restart");
}

#[test]
fn a_restart_that_failed_is_made_again_unless_the_release_was_taken_back_meanwhile() {
    let mut world = World::new();
    world.slots = Slots {
        on_trial: false,
        armed: Armed::ByAgent,
        staged: Some(digest("1.1.0")),
    };
    assert_eq!(world.step(), "restart into 1.1.0");
    world.failed = vec![digest("1.1.0")];
    assert_eq!(world.step(), "disarm: failed here, or given up");
    world.failed.clear();
    world.slots.staged = Some(digest("1.0.9"));
    assert_eq!(world.step(), "disarm");
    world.knows_list = false;
    assert_eq!(world.step(), "disarm: no list counts");
}

#[test]
fn a_trial_that_is_still_armed_when_the_window_closes_is_taken_back() {
    let mut world = World::new();
    world.definition.windows = nights();
    world.slots = Slots {
        on_trial: false,
        armed: Armed::ByAgent,
        staged: Some(digest("1.1.0")),
    };
    world.now = at("2026-12-01T04:58:00");
    assert_eq!(world.step(), "restart into 1.1.0");
    world.now = at("2026-12-01T05:03:00");
    assert_eq!(world.step(), "disarm: waits for a maintenance window");
}

#[test]
fn approval_is_for_one_release_and_comes_before_fetching() {
    let mut world = World::new();
    world.definition.mode = Mode::Approved;
    assert_eq!(world.step(), "waits for approval");
    world.approved = Some(digest("1.0.9"));
    assert_eq!(world.step(), "waits for approval");
    world.approved = Some(digest("1.1.0"));
    assert_eq!(world.step(), "stage 1.1.0");
}

#[test]
fn a_metered_link_gets_the_day_s_rest_and_a_stick_costs_nothing() {
    let mut world = World::new();
    world.definition.daily_limit = Some("2MB".parse().unwrap());
    world.definition.download_windows = nights();
    assert_eq!(world.step(), "waits for a download window");
    world.now = at("2026-12-01T04:59:30");
    assert_eq!(
        world.step(),
        "stage 1.1.0, 2000000 bytes, until 2026-12-01T05:00:00Z"
    );
    world.spent = Spent::default().and(1_999_999, world.now.date());
    assert_eq!(world.step(), "stage 1.1.0, 1 bytes, until 2026-12-01T05:00:00Z");
    world.spent = world.spent.and(1, world.now.date());
    assert_eq!(world.step(), "the day's bytes are spent");
    // The next night.
    world.now = at("2026-12-02T01:00:00");
    assert_eq!(
        world.step(),
        "stage 1.1.0, 2000000 bytes, until 2026-12-02T05:00:00Z"
    );
    // Each day's bytes are that day's.
    world.definition.download_windows = Windows::default();
    world.now = at("2026-12-02T22:00:00");
    assert_eq!(
        world.step(),
        "stage 1.1.0, 2000000 bytes, until 2026-12-03T00:00:00Z"
    );
    world.now = at("2026-12-02T12:00:00");
    world.is_free = true;
    assert_eq!(world.step(), "stage 1.1.0");
}

#[test]
fn without_a_list_or_after_a_failure_nothing_is_done() {
    let mut world = World::new();
    world.knows_list = false;
    assert_eq!(world.step(), "no list counts");
    world.knows_list = true;
    world.failed = vec![digest("1.1.0")];
    assert_eq!(world.step(), "failed here, or given up");
}

proptest! {
    /// Whatever the situation: outside of windows nothing is fetched or started, and never what isn't offered.
    #[test]
    fn no_step_is_ever_taken_against_what_the_site_allows(
        minutes in 0..20_000_i64, staged in 0..3_usize, armed in 0..3_usize, on_trial: bool, knows_list: bool, approved: bool, failed: bool,
        needs_approval: bool, spent in 0..3_000_000_u64, is_free: bool
    ) {
        let mut world = World::new();
        world.now = world.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        world.definition.windows = nights();
        world.definition.download_windows = Windows::new(vec!["sat,sun 00:00-24:00".parse().unwrap()]).unwrap();
        world.definition.daily_limit = Some("2MB".parse().unwrap());
        world.definition.mode = if needs_approval { Mode::Approved } else { Mode::Automatic };
        world.spent = Spent::default().and(spent, world.now.date());
        world.slots = Slots {
            on_trial,
            armed: [Armed::No, Armed::ByAgent, Armed::ByOthers][armed],
            staged: [None, Some(digest("1.0.9")), Some(digest("1.1.0"))][staged],
        };
        world.knows_list = knows_list;
        world.approved = approved.then(|| digest("1.1.0"));
        world.failed = if failed { vec![digest("1.1.0")] } else { Vec::new() };
        world.is_free = is_free;
        let step = world.step();
        let may_act = !on_trial && armed != 2 && knows_list && !failed && (approved || !needs_approval);
        if step.starts_with("restart") {
            prop_assert!(may_act && staged == 2 && nights().is_open(&world.now), "{step}");
        }
        if step.starts_with("stage") {
            let in_window = world.definition.download_windows.is_open(&world.now) && spent < 2_000_000;
            prop_assert!(may_act && staged != 2 && armed == 0 && (is_free || in_window), "{step}");
        }
        if armed == 1 && !on_trial && (!may_act || staged != 2 || !nights().is_open(&world.now)) {
            prop_assert!(step.starts_with("disarm"), "{step}");
        }
    }
}
