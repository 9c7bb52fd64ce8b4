//! `outcrop channel`: what devices are offered, changed one signed list at a time.

use std::{fmt::Write as _, path::PathBuf};

use jiff::Timestamp;
use outcrop_release::channel::{Channel, ChannelName, EditError, Lifetime, Offer};
use serde_json::json;

use super::{
    Context,
    build::read_keys,
    publish::{Signing, megabytes},
};
use crate::{
    error::Error,
    publish::{Excerpt, PublishError, Signers, Tree, copy_tree, lifetime},
};

/// What becomes of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The next wave of a release is opened.
    Promote(String),
    /// A release comes to nobody for the time being.
    Pause(String),
    /// It comes to those again that it came to.
    Resume(String),
    /// A release is taken back for good.
    Withdraw {
        /// Which one.
        release: String,
        /// Why.
        reason: String,
    },
    /// The same list counts for longer.
    Refresh,
}

/// `outcrop channel`'s arguments, but for `show`.
#[derive(Debug, Clone)]
pub struct Options {
    /// The publish tree.
    pub tree: PathBuf,
    /// Which channel; the only one without.
    pub channel: Option<ChannelName>,
    /// What becomes of it.
    pub change: Change,
    /// Who signs.
    pub signing: Signing,
    /// For a program.
    pub json: bool,
}

impl Change {
    fn of(&self, channel: &Channel, lifetime: Lifetime) -> Result<Channel, EditError> {
        match self {
            Self::Promote(release) => channel.promote(release, lifetime),
            Self::Pause(release) => channel.pause(release, lifetime),
            Self::Resume(release) => channel.resume(release, lifetime),
            Self::Withdraw { release, reason } => channel.withdraw(release, reason, lifetime),
            Self::Refresh => channel.refreshed(lifetime),
        }
    }
}

/// Changes a channel: a new list with a higher serial takes the place of the one before.
///
/// # Errors
/// When the tree's list isn't what its owner signed, or the change makes no sense. The old list stays then.
pub fn change(options: &Options, context: &Context) -> Result<(), Error> {
    let keys = read_keys(&options.signing.keys, context)?;
    let trust = options.signing.trust()?;
    let signers = Signers::new(&keys, trust.as_ref())?;
    let tree = Tree::hold(&options.tree, context.progress.as_ref())?;
    let name = tree.which(options.channel.as_ref())?;
    let before = tree.must_read(&name, &signers)?;
    let lifetime = lifetime(Timestamp::now(), options.signing.counts_for);
    let after = options.change.of(&before, lifetime).map_err(edit_failed(&name))?;
    tree.write(&after, &signers)?;
    if options.json {
        return context.print(to_json(&after));
    }
    context.summarize(describe(&after))
}

/// `outcrop channel show`'s arguments.
#[derive(Debug, Clone)]
pub struct Show {
    /// The publish tree.
    pub tree: PathBuf,
    /// Which channel; all without.
    pub channel: Option<ChannelName>,
    /// For a program.
    pub json: bool,
}

/// What was asked of `outcrop channel`.
#[derive(Debug, Clone)]
pub enum Request {
    /// To tell what it offers.
    Show(Show),
    /// To change it.
    Change(Options),
    /// To copy it to a stick.
    Copy(Copy),
}

/// `outcrop channel copy`'s arguments.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The publish tree.
    pub from: PathBuf,
    /// The stick's folder.
    pub to: PathBuf,
    /// What of it.
    pub excerpt: Excerpt,
    /// For a program.
    pub json: bool,
}

/// Does what was asked.
///
/// # Errors
/// See [`show`], [`change`] and [`copy`].
pub fn run(request: &Request, context: &Context) -> Result<(), Error> {
    match request {
        Request::Show(options) => show(options, context),
        Request::Change(options) => change(options, context),
        Request::Copy(options) => copy(options, context),
    }
}

/// Copies a tree to a stick: the list as it is, and the releases that are needed.
///
/// # Errors
/// See [`copy_tree`].
pub fn copy(options: &Copy, context: &Context) -> Result<(), Error> {
    let progress = context.progress.as_ref();
    let copied = copy_tree(&options.from, &options.to, &options.excerpt, progress)?;
    if options.json {
        let told = json!({
            "channel": copied.channel.name.to_string(),
            "serial": copied.channel.serial,
            "expires": copied.channel.expires.to_string(),
            "files": copied.files,
            "written-bytes": copied.bytes,
        });
        return context.print(serde_json::to_string_pretty(&told).unwrap_or_default() + "\n");
    }
    let mut text = format!(
        "{}: list {}, until {}\n",
        copied.channel.name, copied.channel.serial, copied.channel.expires
    );
    for file in &copied.files {
        let _infallible = writeln!(text, "  {file}");
    }
    let _infallible = writeln!(text, "  {:.1} MB were written", megabytes(copied.bytes));
    context.summarize(text)
}

/// Tells what channels offer. Nobody's signature is looked at.
///
/// # Errors
/// When there is no channel, or it can't be read.
pub fn show(options: &Show, context: &Context) -> Result<(), Error> {
    let channels = crate::publish::read_unchecked(&options.tree, options.channel.as_ref())?;
    if options.json {
        let all: Vec<serde_json::Value> = channels.iter().map(facts).collect();
        return context.print(serde_json::to_string_pretty(&all).unwrap_or_default() + "\n");
    }
    context.print(channels.iter().map(describe).collect::<String>())
}

pub(super) fn edit_failed(name: &ChannelName) -> impl Fn(EditError) -> PublishError + use<> {
    let name = name.clone();
    move |source| PublishError::Edit {
        name: name.clone(),
        source,
    }
}

fn to_json(channel: &Channel) -> String {
    serde_json::to_string_pretty(&facts(channel)).unwrap_or_default() + "\n"
}

fn facts(channel: &Channel) -> serde_json::Value {
    let offer = |offer: &Offer| {
        json!({
            "release": offer.release.to_string(),
            "manifest": offer.manifest.to_string(),
            "bytes": offer.bytes,
            "waves": offer.waves.to_string(),
            "open-to": offer.share().to_string(),
            "paused": offer.paused,
            "hold-back": offer.hold_back.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let withdrawn = |withdrawn: &outcrop_release::channel::Withdrawn| json!({ "release": withdrawn.release.to_string(), "reason": withdrawn.reason });
    json!({
        "channel": channel.name.to_string(),
        "serial": channel.serial,
        "issued": channel.issued.to_string(),
        "expires": channel.expires.to_string(),
        "offers": channel.offers.iter().map(offer).collect::<Vec<_>>(),
        "withdrawn": channel.withdrawn.iter().map(withdrawn).collect::<Vec<_>>(),
    })
}

fn describe(channel: &Channel) -> String {
    let mut text = format!(
        "{}: list {}, until {}\n",
        channel.name, channel.serial, channel.expires
    );
    for offer in &channel.offers {
        let mut notes = vec![format!(
            "for {} of the devices, waves {}",
            offer.share(),
            offer.waves
        )];
        notes.extend(offer.paused.then(|| "paused".to_owned()));
        notes.extend(offer.hold_back.iter().map(|label| format!("not for {label}")));
        let _infallible = writeln!(text, "  {}: {}", offer.release, notes.join(", "));
    }
    for withdrawn in &channel.withdrawn {
        let _infallible = writeln!(text, "  {}: withdrawn: {}", withdrawn.release, withdrawn.reason);
    }
    text
}
