//! What takes hours, and what happens meanwhile.

use std::fs;

use jiff::SignedDuration;
use outcrop_release::{
    agent::{Waits, Windows},
    report::Reason,
};

use super::{Fixture, after, nights, offered, waits};
use crate::{
    agent::Memory,
    testing::{
        bundle::{Bundle, Release},
        site::{PlayedSite, Published},
    },
};

#[test]
fn a_metered_link_gets_a_day_s_bytes_each_day_until_the_release_is_there() {
    let mut published = Published::new(after(-2));
    published.offer(after(-1), Bundle::of(&Release::new(2)), "100%");
    let fixture = Fixture::new(published);
    let mut site = fixture.device();
    site.world.releases.insert(2, Release::new(2));
    site.definition.windows = Windows::default();
    site.definition.daily_limit = Some("80kB".parse().unwrap());
    let mut days = 1;
    loop {
        let outcome = site.tick(0);
        if outcome.restarting {
            break;
        }
        assert_eq!(waits(&outcome), Waits::Budget, "{outcome:?}");
        // The same day has no more.
        assert_eq!(waits(&site.tick(60)), Waits::Budget);
        let spent = Memory::load(&site.state).unwrap().spent;
        assert!((80_000..82_000).contains(&spent.on(site.now.date())), "{spent:?}");
        site.now = site.now.checked_add(SignedDuration::from_hours(23)).unwrap();
        days += 1;
        assert!(days < 8, "it goes on for ever");
    }
    assert!(days > 2, "{days}");
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn a_window_that_closes_while_a_release_is_fetched_ends_the_fetching_and_the_next_night_goes_on() {
    let mut published = Published::new(after(-2));
    let whole = Bundle::of(&Release::new(2));
    published.offer(after(-1), whole, "100%");
    let fixture = Fixture::new(published);
    let mut site = fixture.device();
    site.world.releases.insert(2, Release::new(2));
    site.definition.download_windows = nights();
    // It counts, and holds nothing back: what each night has fetched is seen.
    site.definition.daily_limit = Some("100MB".parse().unwrap());
    assert_eq!(waits(&site.tick(0)), Waits::DownloadWindow);
    // Ten minutes before the window closes, on a link that takes seconds for a piece.
    site.time_of_a_piece = SignedDuration::from_secs(10);
    let mut fetched = Vec::new();
    for night in 0.. {
        assert!(night < 20, "it goes on for ever: {fetched:?}");
        site.now = after(16 + 24 * night).to_zoned(jiff::tz::TimeZone::UTC);
        let outcome = site.tick(50);
        let spent = Memory::load(&site.state).unwrap().spent;
        fetched.push(spent.on(site.now.date()));
        if outcome.restarting {
            break;
        }
        assert_eq!(waits(&outcome), Waits::DownloadWindow, "{outcome:?}");
        assert_eq!(
            outcome.standing.detail.unwrap(),
            format!("until 2026-12-{:02}T01:00:00Z", 2 + night)
        );
    }
    assert!(fetched.len() > 2, "{fetched:?}");
    assert_eq!(site.version(), "1.2.0");
}

/// 1.2.0, which takes hours to fetch from noon on, and what happens to the channel meanwhile.
fn hours_long(change: impl FnOnce(&mut Published)) -> Fixture {
    let mut published = Published::new(after(-2));
    published.offer(after(-1), Bundle::of(&Release::new(2)), "100%");
    change(&mut published);
    Fixture::new(published)
}

fn slow<'f>(fixture: &'f Fixture) -> PlayedSite<'f> {
    let mut site = fixture.device();
    site.world.releases.insert(2, Release::new(2));
    site.definition.windows = Windows::default();
    site.time_of_a_piece = SignedDuration::from_mins(10);
    site
}

#[test]
fn a_release_that_is_withdrawn_while_it_is_fetched_is_never_started() {
    let fixture = hours_long(|published| {
        published.change(after(1), |channel, lifetime| {
            channel
                .withdraw("1.2.0", "it eats the till's data", lifetime)
                .unwrap()
        });
    });
    let mut site = slow(&fixture);
    let outcome = site.tick(0);
    assert!(site.now.timestamp() > after(1), "{}", site.now);
    assert_eq!(waits(&outcome), Waits::News);
    for _ in 0..5 {
        assert_eq!(waits(&site.tick(60)), Waits::News);
    }
    assert_eq!(site.version(), "1.1.0");
    // Nobody has changed anything: it starts at once.
    let fixture = hours_long(|_| ());
    let mut site = slow(&fixture);
    assert!(site.tick(0).restarting);
    assert_eq!(site.version(), "1.2.0");
}

#[test]
fn bytes_that_come_after_midnight_are_the_next_day_s() {
    let fixture = hours_long(|_| ());
    let mut site = slow(&fixture);
    site.time_of_a_piece = SignedDuration::from_secs(20);
    site.definition.windows = Windows::new(vec!["08:00-09:00".parse().unwrap()]).unwrap();
    site.definition.daily_limit = Some("10MB".parse().unwrap());
    // Ten minutes before midnight; the whole takes longer.
    site.now = after(11).to_zoned(jiff::tz::TimeZone::UTC);
    let outcome = site.tick(50);
    assert_eq!(waits(&outcome), Waits::Window, "{outcome:?}");
    let spent = Memory::load(&site.state).unwrap().spent;
    let today = spent.on(site.now.date());
    let whole = Bundle::of(&Release::new(2)).bytes.len() as u64;
    assert!(0 < today && today < whole, "{today} of {whole}, at {}", site.now);
}

#[test]
fn with_no_room_to_count_nothing_is_fetched_over_a_metered_link() {
    let fixture = Fixture::new(offered());
    let mut site = fixture.device();
    // Whatever is kept is written here first.
    let new = site.state.join("agent.new");
    fs::create_dir(&new).unwrap();
    site.definition.daily_limit = Some("80kB".parse().unwrap());
    let writes = site.world.disk.writes();
    let outcome = site.tick(0);
    assert_eq!(outcome.standing.reason, Some(Reason::Storage));
    assert_eq!(site.world.disk.writes(), writes);
    fs::remove_dir(&new).unwrap();
    site.definition.daily_limit = None;
    assert_eq!(waits(&site.tick(60)), Waits::Window);
}
