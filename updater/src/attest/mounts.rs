//! What is mounted over the release. Source: proc(5), "mountinfo".

use super::{Difference, What};

/// Folders that are mounted on each device, or belong to what runs: whatever is mounted in them covers nothing of the release.
const OPEN: [&str; 6] = ["/dev", "/proc", "/run", "/sys", "/tmp", "/var"];

pub(super) fn over_the_release(mountinfo: &str) -> Vec<Difference> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    let is_open = |point: &str| {
        OPEN.iter().any(|open| {
            point
                .strip_prefix(open)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for point in points.filter(|point| !is_open(point)) {
        // The root and `/etc` are mounted once each.
        let is_first = matches!(point, "/" | "/etc") && !seen.contains(&point);
        seen.push(point);
        if !is_first {
            found.push(Difference {
                path: point.to_owned(),
                what: What::MountedOver,
                sha256: None,
            });
        }
    }
    found
}
