//! A data partition that is full before the release comes that makes room.

use std::fs;

use outcrop_release::{
    agent::Windows,
    report::{Reason, Report, verify_report},
};

use super::{Fixture, after, second};
use crate::testing::site::{PlayedSite, Published};

/// 1.2.0 is offered two hours from now.
fn offered_later() -> Published {
    let mut published = Published::new(after(-2));
    published.offer(after(2), second(), "100%");
    published
}

/// A device that has seen the empty list, and can write nothing any more but what has its blocks already.
fn full(fixture: &Fixture) -> PlayedSite<'_> {
    let mut site = fixture.device();
    site.definition.windows = Windows::default();
    site.tick(0);
    assert_eq!(reported(fixture).sequence, 1);
    site.medium.leave(0);
    fs::create_dir(site.state.join("agent.new")).unwrap();
    site
}

/// The report that the operator has.
fn reported(fixture: &Fixture) -> Report {
    let files: Vec<_> = fs::read_dir(fixture.reports()).unwrap().collect();
    let [file] = &files[..] else {
        panic!("one device reports: {files:?}")
    };
    let bytes = fs::read(file.as_ref().unwrap().path()).unwrap();
    verify_report(&bytes).unwrap().into_report()
}

#[test]
fn a_device_whose_data_partition_is_full_says_so_and_takes_the_release_that_may_mend_it() {
    let fixture = Fixture::new(offered_later());
    let mut site = full(&fixture);
    site.tick(24 * 60 - 181);
    assert_eq!(site.version(), "1.2.0", "the new list counts without being kept");
    let said = "the list counts, and can't be remembered";
    assert!(
        site.told.iter().any(|line| line.contains(said)),
        "{:?}",
        site.told
    );
    // A day after its last report it makes one: no device is silent because it is full.
    site.tick(24 * 60);
    let report = reported(&fixture);
    assert_eq!(report.running.version.to_string(), "1.2.0");
    assert_eq!(report.agent.unwrap().reason, Some(Reason::Storage));
    assert!(report.sequence > 1);
}
