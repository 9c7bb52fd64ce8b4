//! `outcrop-updater drain` and `uncordon`: the node's pods go elsewhere before a restart, and may come back afterwards.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{CommandError, announce, say, warn};
use crate::{
    chain,
    kubernetes::{self, Client, Clock, Drained, Ours},
};

/// How long one answer of the API may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The limit where neither the recipe nor the operator says one.
const LIMIT: Duration = Duration::from_secs(300);

struct RealClock(Instant);

impl Clock for RealClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

fn api(root: &Path) -> Result<(Ours, Client), CommandError> {
    let ours = Ours::read(root)?;
    let api = ours.api(None, PATIENCE)?;
    Ok((ours, api))
}

/// Has the node's pods go elsewhere; whether none is left.
///
/// # Errors
/// When the API can't be asked or refuses.
pub fn drain(root: &Path, limit: Option<u64>) -> Result<bool, CommandError> {
    let (ours, api) = api(root)?;
    let told = ours.definition.as_ref().and_then(|definition| definition.drain);
    let limit = limit.map(Duration::from_secs).or(told).unwrap_or(LIMIT);
    drain_for(&ours, &api, limit)
}

fn drain_for(ours: &Ours, api: &Client, limit: Duration) -> Result<bool, CommandError> {
    let node = ours.node();
    say(&format!(
        "draining node {node}, for at most {} s",
        limit.as_secs()
    ));
    match kubernetes::drain(api, &node, limit, &RealClock(Instant::now()))? {
        Drained::Empty => {
            say(&format!("node {node} is drained"));
            Ok(true)
        }
        Drained::TooLate(left) => {
            announce(&format!(
                "node {node} isn't drained after {} s: {left}",
                limit.as_secs()
            ));
            Ok(false)
        }
    }
}

/// Lets pods come to the node again, where this program has kept them away.
///
/// # Errors
/// When the API can't be asked or refuses.
pub fn uncordon(root: &Path) -> Result<(), CommandError> {
    let (ours, api) = api(root)?;
    let node = ours.node();
    if kubernetes::uncordon(&api, &node)? {
        say(&format!("pods may come to node {node} again"));
    }
    Ok(())
}

/// Before a restart into a trial: as the recipe wants. Whatever comes of it, the restart follows.
pub(super) fn before_restart(root: &Path) {
    let drained = wanted(root).and_then(|wanted| match wanted {
        Some((ours, limit)) => drain_for(&ours, &ours.api(None, PATIENCE)?, limit).map(drop),
        None => Ok(()),
    });
    if let Err(error) = drained {
        warn(&format!("the node isn't drained: {}", chain::describe(&error)));
    }
}

/// Once a release is healthy: new, or back.
pub(super) fn when_healthy(root: &Path) {
    let done = wanted(root).and_then(|wanted| match wanted {
        Some(_) => uncordon(root),
        None => Ok(()),
    });
    if let Err(error) = done {
        warn(&format!(
            "pods may still stay away from the node, `outcrop-updater uncordon` lets them come: {}",
            chain::describe(&error)
        ));
    }
}

/// This device's Kubernetes and how long its pods get, where the recipe wants the node drained.
fn wanted(root: &Path) -> Result<Option<(Ours, Duration)>, CommandError> {
    let ours = Ours::read(root)?;
    let limit = ours.definition.as_ref().and_then(|definition| definition.drain);
    Ok(limit.map(|limit| (ours, limit)))
}
