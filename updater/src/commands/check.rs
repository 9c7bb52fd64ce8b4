//! `outcrop-updater check`: what this device is offered.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use jiff::Timestamp;
use outcrop_release::{
    channel::{
        ChannelDefinition, ChannelName, Decision, Offer, RELEASES_FOLDER, Subscriber, decide, tree_url,
        withdrawn,
    },
    device_config::DeviceConfig,
    manifest::RunningManifest,
};
use serde_json::{Value, json};

use super::{CommandError, Opened, key, remembered, say, warn};
use crate::{
    block_disk::Access,
    channel::{FolderSource, Followed, Follower, WebList},
    device::Device,
    device_config, release_file,
};

/// Where lists are remembered, in Outcrop's folder.
pub(super) const CHANNELS: &str = "channels";

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct CheckOptions {
    /// A publish tree: a folder, as on a stick, or an address. Without it, the one that the release or device.toml names.
    #[arg(value_name = "DIR|URL")]
    pub tree: Option<String>,
    /// Another channel than the one that this device follows.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<ChannelName>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// A publish tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TreePlace {
    Web(String),
    Folder(PathBuf),
}

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum NoChannel {
    /// Nobody named a tree.
    #[error(
        "nobody has told this device where releases are published: give the recipe [update] url, or name a folder or address"
    )]
    Tree,
    /// Nobody named a channel.
    #[error(
        "this device follows no channel: give the recipe [update] channel, or device.toml channel, or say --channel"
    )]
    Channel,
    /// An address that is none.
    #[error("{0}")]
    Address(String),
}

/// Looks at the channel once and tells what that means for this device. Nothing is installed.
///
/// # Errors
/// See [`CommandError`].
pub fn check(root: &Path, options: &CheckOptions) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    let definition = definition(&device)?;
    let config = device_config::kept(&device.state_folder())?;
    let (tree, channel) = place(options, definition.as_ref(), &config)?;
    let trust = device.trust()?;
    let follower = Follower {
        trust: &trust,
        channel: &channel,
        folder: &device.state_folder().join(CHANNELS),
        now: Timestamp::now(),
        built: built(&device, definition.as_ref()),
    };
    let followed = match &tree {
        TreePlace::Web(url) => follower.look(&mut WebList::new(url).map_err(CommandError::Web)?)?,
        TreePlace::Folder(folder) => follower.look(&mut FolderSource::new(folder))?,
    };
    if let Some(why) = &followed.unkept {
        warn(why);
    }
    let told = told(&device, &config, &tree, &followed)?;
    if options.json {
        say(&serde_json::to_string_pretty(&told.json).unwrap_or_default());
    } else {
        say(told.text.trim_end());
    }
    Ok(())
}

/// When what runs was made. A release that names no channel doesn't say so; all files of its read-only root file system have that time, too.
pub(super) fn built(device: &Device, release: Option<&ChannelDefinition>) -> Timestamp {
    if let Some(release) = release {
        return release.built;
    }
    let modified = fs::metadata(device.path(RunningManifest::PATH)).and_then(|facts| facts.modified());
    let since_1970 = modified
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let seconds = since_1970.and_then(|since| i64::try_from(since.as_secs()).ok());
    seconds
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What the release says about channels; nothing when it is an older one, or follows none.
pub(super) fn definition(device: &Device) -> Result<Option<ChannelDefinition>, CommandError> {
    let root = device.path("/");
    Ok(release_file::read(
        &root,
        ChannelDefinition::PATH,
        ChannelDefinition::parse,
    )?)
}

/// Which tree and channel: what was typed counts before what the device is told, and that before what the release says.
fn place(
    options: &CheckOptions,
    release: Option<&ChannelDefinition>,
    device: &DeviceConfig,
) -> Result<(TreePlace, ChannelName), NoChannel> {
    let is_address = |text: &&String| text.starts_with("http://") || text.starts_with("https://");
    let tree = match &options.tree {
        Some(text) if is_address(&text) => TreePlace::Web(tree_url(text).map_err(NoChannel::Address)?),
        Some(folder) => TreePlace::Folder(PathBuf::from(folder)),
        None => TreePlace::Web(web_tree(release, device).ok_or(NoChannel::Tree)?),
    };
    let channel = channel(options.channel.clone(), release, device);
    Ok((tree, channel.ok_or(NoChannel::Channel)?))
}

/// Where the device's releases are published.
pub(super) fn web_tree(release: Option<&ChannelDefinition>, device: &DeviceConfig) -> Option<String> {
    let url = release.and_then(|release| release.url.clone());
    device.update_url.clone().or(url)
}

/// Which channel it follows.
pub(super) fn channel(
    typed: Option<ChannelName>,
    release: Option<&ChannelDefinition>,
    device: &DeviceConfig,
) -> Option<ChannelName> {
    let own = device.channel.as_ref().and_then(|name| name.parse().ok());
    let channel = typed.or(own);
    channel.or_else(|| release.map(|release| release.channel.clone()))
}

impl TreePlace {
    /// Where an offer's bundle is, as `install` takes it.
    pub(super) fn bundle(&self, offer: &Offer) -> String {
        match self {
            Self::Web(url) => format!("{url}/{RELEASES_FOLDER}/{}", offer.file_name()),
            Self::Folder(folder) => folder
                .join(RELEASES_FOLDER)
                .join(offer.file_name())
                .display()
                .to_string(),
        }
    }
}

struct Told {
    text: String,
    json: Value,
}

fn told(
    device: &Device,
    config: &DeviceConfig,
    tree: &TreePlace,
    followed: &Followed,
) -> Result<Told, CommandError> {
    let record = Opened::open(device, Access::Read)?.lifecycle(device).record()?;
    let history = remembered(device)?;
    let key = key(device)?;
    let failed = history.unwanted(&record);
    let subscriber = Subscriber {
        device: key.device(),
        labels: &config.labels,
        running: &device.release.release,
        manifest: Some(record.slot(device.slot()).release),
        failed: &failed,
    };
    let list = followed.list.channel();
    let (word, detail) = describe(&decide(&followed.list, &subscriber), tree);
    let taken_back = withdrawn(&followed.list, &subscriber);
    let mut text = format!(
        "{}: list {}, until {}\n{}\n",
        list.name, list.serial, list.expires, detail
    );
    if let Some(withdrawn) = taken_back {
        text += &format!(
            "what runs, {}, was withdrawn: {}\n",
            withdrawn.version(),
            withdrawn.reason
        );
    }
    let offer = decide(&followed.list, &subscriber).offer();
    let json = json!({
        "channel": list.name.to_string(),
        "serial": list.serial,
        "expires": list.expires.to_string(),
        "news": followed.is_news,
        "device": key.device().to_string(),
        "running": device.release.release.version.to_string(),
        "decision": word,
        "release": offer.map(|offer| offer.release.version.to_string()),
        "bundle": offer.map(|offer| tree.bundle(offer)),
        "withdrawn": taken_back.map(|withdrawn| withdrawn.reason.clone()),
    });
    Ok(Told { text, json })
}

/// The decision in one word, and in a sentence.
fn describe(decision: &Decision<'_>, tree: &TreePlace) -> (&'static str, String) {
    let version = |offer: &Offer| offer.release.version.to_string();
    match decision {
        Decision::UpToDate => ("up-to-date", "nothing newer is offered".to_owned()),
        Decision::Install(offer) => (
            "install",
            format!(
                "{} is offered: outcrop-updater install {}",
                version(offer),
                tree.bundle(offer)
            ),
        ),
        Decision::Later { offer, position } => (
            "later",
            format!(
                "{} goes to {} of the devices so far, and this one stands at {position}",
                version(offer),
                offer.share()
            ),
        ),
        Decision::Paused(offer) => ("paused", format!("{} is paused", version(offer))),
        Decision::HeldBack { offer, label } => (
            "held-back",
            format!("{} isn't for devices with the label {label}", version(offer)),
        ),
        Decision::Failed(offer) => (
            "failed",
            format!(
                "{} failed on this device and isn't tried again by itself",
                version(offer)
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(tree: Option<&str>, channel: Option<&str>) -> CheckOptions {
        CheckOptions {
            tree: tree.map(str::to_owned),
            channel: channel.map(|name| name.parse().unwrap()),
            json: false,
        }
    }

    fn release() -> ChannelDefinition {
        ChannelDefinition {
            url: Some("https://a.example/x".to_owned()),
            channel: "stable".parse().unwrap(),
            built: Timestamp::UNIX_EPOCH,
        }
    }

    fn found(options: &CheckOptions, release: Option<&ChannelDefinition>, device: &DeviceConfig) -> String {
        match place(options, release, device) {
            Ok((TreePlace::Web(url), channel)) => format!("{channel} at {url}"),
            Ok((TreePlace::Folder(folder), channel)) => format!("{channel} in {}", folder.display()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_release_without_a_channel_was_made_when_its_files_were() {
        let root = tempfile::tempdir().unwrap();
        let device = crate::testing::root::device(root.path());
        let made: Timestamp = "2026-11-28T03:00:00Z".parse().unwrap();
        let file = fs::File::options()
            .write(true)
            .open(root.path().join(RunningManifest::PATH));
        file.unwrap().set_modified(made.into()).unwrap();
        assert_eq!(built(&device, None), made);
        assert_eq!(built(&device, Some(&release())), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn what_was_typed_counts_before_the_devices_configuration_and_that_before_the_release() {
        let (release, nothing) = (release(), DeviceConfig::default());
        let own = DeviceConfig {
            channel: Some("beta".to_owned()),
            update_url: Some("http://mirror.local".to_owned()),
            ..DeviceConfig::default()
        };
        assert_eq!(
            found(&options(None, None), Some(&release), &nothing),
            "stable at https://a.example/x"
        );
        assert_eq!(
            found(&options(None, None), Some(&release), &own),
            "beta at http://mirror.local"
        );
        assert_eq!(
            found(&options(Some("/mnt"), Some("x")), Some(&release), &own),
            "x in /mnt"
        );
        assert_eq!(
            found(&options(Some("https://b/"), None), Some(&release), &nothing),
            "stable at https://b"
        );
        assert!(found(&options(None, None), None, &nothing).contains("[update] url"));
        assert!(found(&options(Some("/mnt"), None), None, &nothing).contains("--channel"));
        assert!(
            found(&options(Some("https://u:p@b"), None), Some(&release), &nothing).contains("without a name")
        );
    }
}
