//! The arguments of `outcrop publish` and `outcrop channel`.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};
use jiff::SignedDuration;
use outcrop_release::channel::{ChannelName, LabelSelector, Waves};
use semver::Version;

use crate::{
    commands::{
        self,
        channel::{Change, Request},
        publish::{Options, Signing},
    },
    keys::KeySource,
    publish::Excerpt,
};

/// Longest time that a list counts, in days.
const MOST_DAYS: i64 = 3650;

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// Folder with the bundles, and the deltas beside them
    #[arg(value_name = "BUILT")]
    from_folder: PathBuf,
    /// Folder that becomes the publish tree
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// The channel that offers them; made when there is none
    #[arg(long, value_name = "NAME")]
    channel: ChannelName,
    /// Which shares of the devices get them one after the other, each opened with `outcrop channel promote`
    #[arg(long, value_name = "SHARES", default_value = "100%")]
    waves: Waves,
    /// Devices with this label of their device.toml don't get them: KEY or KEY=VALUE; may repeat
    #[arg(long, value_name = "LABEL")]
    hold_back: Vec<LabelSelector>,
    /// Of the deltas, take only those from this version; may repeat
    #[arg(long, value_name = "VERSION")]
    from: Vec<Version>,
    #[command(flatten)]
    signing: SigningArgs,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
struct SigningArgs {
    /// Sign the channel with this private key; may repeat. KEY is a file, env:VARIABLE, or command:COMMAND, which prints it
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<KeySource>,
    /// The trust file that the devices have: what they wouldn't take isn't written
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Days that the list counts: devices that get no newer one until then say so
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = value_parser!(i64).range(1..=MOST_DAYS))]
    expires: i64,
}

impl From<SigningArgs> for Signing {
    fn from(arguments: SigningArgs) -> Self {
        Self {
            keys: arguments.key,
            trust: arguments.trust,
            counts_for: SignedDuration::from_hours(24 * arguments.expires),
        }
    }
}

impl From<PublishArgs> for Options {
    fn from(arguments: PublishArgs) -> Self {
        Self {
            from_folder: arguments.from_folder,
            tree: arguments.tree,
            channel: arguments.channel,
            waves: arguments.waves,
            hold_back: arguments.hold_back,
            from: arguments.from,
            signing: arguments.signing.into(),
            json: arguments.json,
        }
    }
}

/// What to do with a channel.
#[derive(Debug, Subcommand)]
pub(super) enum ChannelCommand {
    /// Tell what channels offer; nothing is checked
    Show(ShowArgs),
    /// Open the next wave of a release
    Promote(ReleaseArgs),
    /// Offer a release to nobody for the time being
    Pause(ReleaseArgs),
    /// Offer a paused release again
    Resume(ReleaseArgs),
    /// Take a release back for good
    ///
    /// Devices that have it keep it, and report that it was withdrawn; no other gets it. A fixed release gets a version of its own.
    Withdraw(WithdrawArgs),
    /// Make the same list count for longer
    Refresh(RefreshArgs),
    /// Copy a tree to a stick: its list as it is, and the bundles that it offers
    ///
    /// Devices that follow the web take such a stick, too: it is the same channel. Nothing is written when there is too little room.
    Copy(CopyArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The publish tree
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// Only this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    /// The publish tree
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// The release: its version, or its whole name
    #[arg(value_name = "RELEASE")]
    release: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
pub(super) struct WithdrawArgs {
    /// The publish tree
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    /// The release: its version, or its whole name
    #[arg(value_name = "RELEASE")]
    release: String,
    /// Why, for whoever looks after the devices
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
pub(super) struct RefreshArgs {
    /// The publish tree
    #[arg(value_name = "DIR")]
    tree: PathBuf,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// The publish tree
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The stick's folder, which must be there
    #[arg(value_name = "STICK")]
    to: PathBuf,
    /// Only these releases, by version or whole name
    #[arg(value_name = "RELEASE")]
    releases: Vec<String>,
    /// Take the deltas from this version along; may repeat
    #[arg(long = "from", value_name = "VERSION")]
    deltas: Vec<Version>,
    /// Which channel, where the tree has several
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CommonArgs {
    /// Which channel, where the tree has several
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
    #[command(flatten)]
    signing: SigningArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl CommonArgs {
    fn options(self, tree: PathBuf, change: Change) -> commands::channel::Options {
        commands::channel::Options {
            tree,
            channel: self.channel,
            change,
            signing: self.signing.into(),
            json: self.json,
        }
    }
}

impl ChannelCommand {
    pub(super) const fn json(&self) -> bool {
        match self {
            Self::Show(arguments) => arguments.json,
            Self::Promote(arguments) | Self::Pause(arguments) | Self::Resume(arguments) => {
                arguments.common.json
            }
            Self::Withdraw(arguments) => arguments.common.json,
            Self::Refresh(arguments) => arguments.common.json,
            Self::Copy(arguments) => arguments.json,
        }
    }

    pub(super) fn into_request(self) -> Request {
        Request::Change(match self {
            Self::Show(arguments) => {
                return Request::Show(commands::channel::Show {
                    tree: arguments.tree,
                    channel: arguments.channel,
                    json: arguments.json,
                });
            }
            Self::Copy(arguments) => {
                return Request::Copy(commands::channel::Copy {
                    from: arguments.from,
                    to: arguments.to,
                    excerpt: Excerpt {
                        channel: arguments.channel,
                        releases: arguments.releases,
                        from: arguments.deltas,
                    },
                    json: arguments.json,
                });
            }
            Self::Promote(one) => one.common.options(one.tree, Change::Promote(one.release)),
            Self::Pause(one) => one.common.options(one.tree, Change::Pause(one.release)),
            Self::Resume(one) => one.common.options(one.tree, Change::Resume(one.release)),
            Self::Withdraw(one) => {
                let change = Change::Withdraw {
                    release: one.release,
                    reason: one.reason,
                };
                one.common.options(one.tree, change)
            }
            Self::Refresh(one) => one.common.options(one.tree, Change::Refresh),
        })
    }
}
