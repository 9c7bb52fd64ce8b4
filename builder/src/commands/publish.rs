//! `outcrop publish`: bundles become files that a web server or a stick gives to devices.

use std::{fmt::Write as _, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    channel::{Channel, ChannelName, LabelSelector, Waves},
    trust::Trust,
};
use semver::Version;
use serde_json::json;

use super::{Context, build::read_keys, channel::edit_failed};
use crate::{
    error::Error,
    keys::{KeySource, public_halves, read_trust},
    publish::{Selected, Signers, Tree, lifetime, select},
};

/// `outcrop publish`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of the bundles.
    pub from_folder: PathBuf,
    /// The publish tree.
    pub tree: PathBuf,
    /// Which channel offers them.
    pub channel: ChannelName,
    /// Who gets them first.
    pub waves: Waves,
    /// Who doesn't get them.
    pub hold_back: Vec<LabelSelector>,
    /// Deltas of these versions only; none means all.
    pub from: Vec<Version>,
    /// Who signs the channel, and what devices trust.
    pub signing: Signing,
    /// For a program.
    pub json: bool,
}

/// Who signs a channel, and for how long.
#[derive(Debug, Clone)]
pub struct Signing {
    /// Private keys.
    pub keys: Vec<KeySource>,
    /// The trust file that the devices have.
    pub trust: Option<PathBuf>,
    /// How long the list counts.
    pub counts_for: SignedDuration,
}

impl Signing {
    pub(super) fn trust(&self) -> Result<Option<Trust>, Error> {
        Ok(self.trust.as_deref().map(read_trust).transpose()?)
    }
}

/// Copies new bundles and their deltas into the tree, and offers them in a channel.
///
/// # Errors
/// When there is nothing new, a bundle is damaged or not trusted, or the tree can't be written. The channel offers what it did before then.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let keys = read_keys(&options.signing.keys, context)?;
    let trust = options.signing.trust()?;
    let signers = Signers::new(&keys, trust.as_ref())?;
    let progress = context.progress.as_ref();
    let tree = Tree::hold(&options.tree, progress)?;
    let before = tree.read(&options.channel, &signers)?;
    let selected = select(&options.from_folder, before.as_ref(), &options.from, progress)?;
    let channel_keys = public_halves(&keys)?;
    for release in &selected {
        release.check(trust.as_ref(), &channel_keys, progress)?;
    }
    let lifetime = lifetime(Timestamp::now(), options.signing.counts_for);
    let failed = edit_failed(&options.channel);
    let is_new = before.is_none();
    let before = match before {
        Some(before) => before,
        None => Channel::new(options.channel.clone(), lifetime).map_err(&failed)?,
    };
    let new = selected
        .iter()
        .map(|release| release.publication(&options.waves, &options.hold_back))
        .collect();
    // Before anything is copied: what makes no sense leaves no bundle behind.
    let after = before.publish(new, lifetime).map_err(failed)?;
    for release in &selected {
        tree.add(release, progress)?;
    }
    tree.write(&after, &signers)?;
    if options.json {
        return context.print(
            serde_json::to_string_pretty(&facts(&after, &selected, is_new)).unwrap_or_default() + "\n",
        );
    }
    let mut text = describe(&after, &selected);
    if is_new {
        let _infallible = writeln!(
            text,
            "  this begins a new channel: {} had no list of it. Devices that follow {} elsewhere refuse this one",
            options.tree.display(),
            after.name
        );
    }
    context.summarize(text)
}

fn facts(channel: &Channel, selected: &[Selected], is_new: bool) -> serde_json::Value {
    let release = |selected: &Selected| {
        json!({
            "release": selected.bundle.manifest().release.to_string(),
            "bytes": selected.bundle.bytes(),
            "deltas": selected.deltas.len(),
        })
    };
    json!({
        "channel": channel.name.to_string(),
        "serial": channel.serial,
        "new-channel": is_new,
        "expires": channel.expires.to_string(),
        "published": selected.iter().map(release).collect::<Vec<_>>(),
    })
}

fn describe(channel: &Channel, selected: &[Selected]) -> String {
    let mut text = format!(
        "{}: list {}, until {}\n",
        channel.name, channel.serial, channel.expires
    );
    for selected in selected {
        let release = &selected.bundle.manifest().release;
        let share = channel
            .offers
            .iter()
            .find(|offer| offer.release == *release)
            .map_or_else(String::new, |offer| {
                format!(", for {} of the devices", offer.share())
            });
        let deltas = match selected.deltas.len() {
            0 => String::new(),
            1 => ", one delta".to_owned(),
            more => format!(", {more} deltas"),
        };
        let _infallible = writeln!(
            text,
            "  {release}: {:.1} MB{deltas}{share}",
            megabytes(selected.bundle.bytes())
        );
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
