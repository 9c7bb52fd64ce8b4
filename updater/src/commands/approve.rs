//! `outcrop-updater approve`: somebody lets the agent install what is offered.

use std::{fs::File, path::Path};

use outcrop_release::{
    agent::Mode,
    channel::{Decision, decide},
};

use super::{
    CommandError,
    agent::{RealSite, definition, only_one},
    say, warn,
};
use crate::{
    agent::{Approval, Site as _, settle},
    device::Device,
    device_config,
    lock_file::Held,
};

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ApproveOptions {
    /// The version that is meant; without it, the one that is offered.
    #[arg(value_name = "VERSION")]
    pub version: Option<semver::Version>,
    /// Takes the approval back.
    #[arg(long, conflicts_with = "version")]
    pub revoke: bool,
}

/// Why nothing is approved.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// No list counts.
    #[error("there is nothing to approve: no list of the channel counts; `outcrop-updater check` says why")]
    NoList,
    /// Nothing is offered to this device.
    #[error("there is nothing to approve: {0}")]
    Nothing(String),
    /// Another one is offered.
    #[error("{offered} is offered, not {wanted}")]
    Other {
        /// The one that is offered.
        offered: String,
        /// The one that was meant.
        wanted: String,
    },
}

/// Lets the agent install what is offered, where it waits for somebody's word.
///
/// # Errors
/// See [`CommandError`]; when nothing is offered, or another version than was meant.
pub fn approve(root: &Path, options: &ApproveOptions) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    let state = device.state_folder();
    if options.revoke {
        // At once, and again when a run of the agent is over, which may have been keeping it at this moment.
        Approval::remove(&state)?;
        let _no_agent = without_agent(&device)?;
        Approval::remove(&state)?;
        say("nothing is approved any more");
        return Ok(());
    }
    // Both would do what follows from an approval, and the history would have it twice.
    let _no_agent = without_agent(&device)?;
    let config = device_config::kept(&state)?;
    let definition = definition(&device)?.unwrap_or_default().with(&config.update);
    let mut site = RealSite::new(root, device, config, definition, None)?;
    let who = site.who_is()?;
    let list = site.recall().ok_or(ApproveError::NoList)?;
    let offer = match decide(&list, &who.subscriber()) {
        // Approval may come before the device's turn.
        Decision::Install(offer) | Decision::Later { offer, .. } | Decision::Paused(offer) => offer,
        Decision::UpToDate => return Err(ApproveError::Nothing("nothing newer is offered".to_owned()).into()),
        Decision::HeldBack { offer, label } => {
            let why = format!(
                "{} isn't for devices with the label {label}",
                offer.release.version
            );
            return Err(ApproveError::Nothing(why).into());
        }
        // Somebody went back from it, and wants it again.
        Decision::Failed(offer) if who.given_up.contains(&offer.manifest) => offer,
        Decision::Failed(offer) => {
            let version = &offer.release.version;
            let why = format!(
                "{version} failed on this device; `outcrop-updater install --retry-failed` tries it again"
            );
            return Err(ApproveError::Nothing(why).into());
        }
    };
    let version = offer.release.version.to_string();
    if let Some(wanted) = options
        .version
        .as_ref()
        .filter(|wanted| **wanted != offer.release.version)
    {
        return Err(ApproveError::Other {
            offered: version,
            wanted: wanted.to_string(),
        }
        .into());
    }
    Approval::new(offer.manifest, version.clone(), site.newest_event()).save(&state)?;
    if let Err(trouble) = settle(&mut site) {
        warn(&format!(
            "the agent does the next time what is left: {}",
            trouble.detail
        ));
    }
    say(&told(&version, site.definition().mode));
    Ok(())
}

/// What follows from an approval, for whoever gave it.
fn told(version: &str, mode: Mode) -> String {
    match mode {
        Mode::Off => format!(
            "{version} is approved, but the agent is off, as recipe or device.toml say: it is installed when the agent is switched on, or with `outcrop-updater install`"
        ),
        _ => format!("{version} is approved: the agent installs it when it may"),
    }
}

/// Waits until no agent is at work, and keeps it from beginning.
fn without_agent(device: &Device) -> Result<Option<File>, CommandError> {
    if let Some(held) = only_one(device, Held::GiveWay)? {
        return Ok(Some(held));
    }
    say("the agent is at work, perhaps fetching a release: waiting until it has ended");
    only_one(device, Held::Wait)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use outcrop_release::digest::FileDigest;

    use super::*;
    use crate::testing::root;

    #[test]
    fn who_approves_waits_for_the_agent_and_the_agent_doesn_t_begin_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let device = root::device(folder.path());
        let agent = only_one(&device, Held::GiveWay).unwrap().unwrap();
        let (to_us, theirs) = mpsc::channel();
        let root = folder.path();
        thread::scope(|scope| {
            scope.spawn(move || {
                let device = Device::read(root).unwrap();
                to_us.send(without_agent(&device).unwrap()).unwrap();
            });
            assert!(theirs.recv_timeout(Duration::from_millis(50)).is_err());
            drop(agent);
            let _approving = theirs.recv().unwrap().unwrap();
            assert!(only_one(&device, Held::GiveWay).unwrap().is_none());
        });
        assert!(only_one(&device, Held::GiveWay).unwrap().is_some());
    }

    #[test]
    fn an_approval_is_taken_back_at_once_and_also_the_one_that_an_agent_keeps_at_that_moment() {
        let folder = tempfile::tempdir().unwrap();
        let (root, state) = (folder.path(), root::device(folder.path()).state_folder());
        let approval = Approval::new(FileDigest::of(b"x"), "1.2.0".to_owned(), 7);
        approval.save(&state).unwrap();
        let agent = only_one(&root::device(root), Held::GiveWay).unwrap();
        let options = ApproveOptions {
            version: None,
            revoke: true,
        };
        thread::scope(|scope| {
            let revoking = scope.spawn(|| approve(root, &options));
            while Approval::load(&state).unwrap().is_some() {
                thread::sleep(Duration::from_millis(5));
            }
            assert!(!revoking.is_finished());
            approval.save(&state).unwrap();
            drop(agent);
            revoking.join().unwrap().unwrap();
        });
        assert_eq!(Approval::load(&state).unwrap(), None);
    }

    #[test]
    fn whoever_approves_while_the_agent_is_off_is_promised_nothing_that_never_comes() {
        assert!(told("1.2.0", Mode::Off).contains("the agent is off"));
        for mode in [Mode::Automatic, Mode::Approved] {
            assert_eq!(
                told("1.2.0", mode),
                "1.2.0 is approved: the agent installs it when it may"
            );
        }
    }
}
