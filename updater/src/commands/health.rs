//! `outcrop-updater health`

use std::path::Path;

use outcrop_release::bootrec::BadReason;
use serde_json::json;

use super::{CommandError, announce, commit::give_up, on_trial, say, uptime};
use crate::{
    chain,
    device::Device,
    health::{self, CheckState, Ended},
};

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct HealthOptions {
    /// As JSON.
    #[arg(long)]
    pub json: bool,
    /// Waits until all required checks hold; gives a trial up when they don't by its deadline.
    #[arg(long, hide = true)]
    pub gate: bool,
}

/// Looks at all checks; whether all required ones hold.
///
/// # Errors
/// See [`CommandError`].
pub fn health(root: &Path, options: &HealthOptions) -> Result<bool, CommandError> {
    if options.gate {
        return gate(root);
    }
    let states = health::look_once(&health::checks(root)?);
    let healthy = states.iter().all(|state| state.holds || !state.required);
    if options.json {
        say(&json!({"healthy": healthy, "checks": states}).to_string());
    } else {
        states.iter().for_each(|state| say(&line(state)));
        say(if healthy { "healthy" } else { "not healthy" });
    }
    Ok(healthy)
}

fn line(state: &CheckState) -> String {
    let need = if state.required { "required" } else { "wanted" };
    match &state.reason {
        None => format!("{}: holds ({need})", state.name),
        Some(reason) => format!("{}: {reason} ({need})", state.name),
    }
}

/// The health gate of a boot: what `boot-complete.target` waits for.
fn gate(root: &Path) -> Result<bool, CommandError> {
    let device = Device::read(root)?;
    let trial = on_trial(&device);
    let limit = device.release.health_deadline.saturating_sub(uptime());
    let (ended, states) = match health::checks(root) {
        Ok(checks) => health::watch(&checks, limit, health::look),
        // A release that can't say what healthy means isn't.
        Err(error) => (Ended::Failed(chain::describe(&error)), Vec::new()),
    };
    for state in states.iter().filter(|state| !state.holds) {
        say(&line(state));
    }
    let (reason, why) = match ended {
        Ended::Healthy => return Ok(true),
        Ended::Failed(why) => (BadReason::CheckFailed, why),
        Ended::TooLate(why) => (BadReason::Deadline, why),
    };
    if trial {
        give_up(&device, reason, Some(&why))?;
    } else {
        announce(&format!("not healthy: {}: {why}", device.title()));
    }
    Ok(false)
}
