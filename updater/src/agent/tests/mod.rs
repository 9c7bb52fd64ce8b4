mod armed;
mod fleet;
mod hours;
mod nights;
mod no_room;
mod operator;
mod power_cut;
mod sticks;

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    agent::{Waits, Windows},
    digest::FileDigest,
    journal::{Deed, Event},
};

use super::Outcome;
use crate::testing::{
    bundle::{Bundle, Release},
    site::{PlayedSite, Published},
};

/// A Monday at noon, and the clock is on UTC.
fn noon() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn after(hours: i64) -> Timestamp {
    noon().checked_add(SignedDuration::from_hours(hours)).unwrap()
}

fn second() -> Bundle {
    Bundle::of(&Release::new(1).changed(2))
}

/// 1.2.0 is offered to all, from an hour before on.
fn offered() -> Published {
    let mut published = Published::new(after(-2));
    published.offer(after(-1), second(), "100%");
    published
}

fn nights() -> Windows {
    Windows::new(vec!["01:00-05:00".parse().unwrap()]).unwrap()
}

struct Fixture {
    published: Published,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new(published: Published) -> Self {
        Self {
            published,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn reports(&self) -> std::path::PathBuf {
        self.folder.path().join("reports")
    }

    /// A device that restarts at night only.
    fn device(&self) -> PlayedSite<'_> {
        let state = self.folder.path().join("state");
        let mut site = PlayedSite::new(&self.published, &state, &self.reports(), 1, noon());
        site.definition.windows = nights();
        site
    }
}

fn waits(outcome: &Outcome) -> Waits {
    outcome.standing.waits
}

fn decisions(site: &PlayedSite<'_>) -> Vec<Deed> {
    let deeds = site.events().into_iter().filter_map(|event| match event {
        Event::Decided { deed, .. } => Some(deed),
        _ => None,
    });
    deeds.collect()
}

/// Of the manifest of 1.2.0.
fn digest() -> FileDigest {
    FileDigest::of(&second().manifest.to_bytes())
}
