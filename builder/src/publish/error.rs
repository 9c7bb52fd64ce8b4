//! Why something can't be published.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::{
    channel::{ChannelError, ChannelName, ChannelRefusal, EditError},
    name::ReleaseName,
    trust::{PublicKey, SignatureError, Untrusted},
};

use crate::failure::FailureClass;

/// Why something can't be published.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum PublishError {
    /// A file of the tree, or of what is published.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help(
        "check that it is there, that you may read and write it, and that there is space left"
    ))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Nothing to publish.
    #[error("there is no bundle in {}", .0.display())]
    #[diagnostic(help("name the folder that `outcrop build --key` wrote to"))]
    Empty(PathBuf),
    /// Everything is there.
    #[error("the channel {0} has, or had, all bundles that are there already")]
    #[diagnostic(help(
        "build a release with a higher version, or open its next wave with `outcrop channel promote`"
    ))]
    Nothing(ChannelName),
    /// Another release of the same name is in the tree.
    #[error("{} is there already, and is another release", .0.display())]
    #[diagnostic(help("a release is published once: raise the version, and build again"))]
    Other(PathBuf),
    /// A bundle whose file has another name than the release.
    #[error("{} is the release {name}, and is called otherwise", path.display())]
    #[diagnostic(help("rename it: devices look for it by that name"))]
    Name {
        /// The file.
        path: PathBuf,
        /// What it is.
        name: Box<ReleaseName>,
    },
    /// A release that nobody has signed.
    #[error("nobody has signed {}", .0.display())]
    #[diagnostic(help("sign it with `outcrop bundle sign`: devices install nothing else"))]
    Unsigned(PathBuf),
    /// One key for both.
    #[error("{key} has signed the release {release}, and is to sign the channel, too")]
    #[diagnostic(help(
        "keys of releases stay offline; make one for channels with `outcrop keys generate`, and name it in the trust file with \
         `outcrop keys trust --channel-key`"
    ))]
    BothRoles {
        /// Which key.
        key: PublicKey,
        /// What it has signed.
        release: Box<ReleaseName>,
    },
    /// No key.
    #[error("a channel must be signed, and no key was given")]
    #[diagnostic(help("devices take no list that isn't signed by a channel key: --key FILE"))]
    NoKey,
    /// No delta from a version that was asked for.
    #[error("{release} has no delta from {from}")]
    #[diagnostic(help("make it with `outcrop bundle delta --from OLD --beside NEW`"))]
    NoDelta {
        /// The release.
        release: Box<ReleaseName>,
        /// From which version.
        from: semver::Version,
    },
    /// No delta at all from a version that was asked for.
    #[error("no release that is copied has a delta from {0}")]
    #[diagnostic(help(
        "`outcrop bundle delta --from OLD --beside NEW` makes one, and `outcrop publish` takes it along"
    ))]
    NoDeltas(semver::Version),
    /// Nowhere to copy to.
    #[error("there is no folder {}", .0.display())]
    #[diagnostic(help("is the stick mounted? A folder on it must be made first"))]
    NoFolder(PathBuf),
    /// Too little room.
    #[error("{} has room for {free} MB, and {needed} MB are needed; nothing was written", folder.display())]
    #[diagnostic(help(
        "name the releases that are needed, or remove older ones from the folder `releases` there"
    ))]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// What is needed, in megabytes.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// A copy would take devices back.
    #[error("{} has list {there} of the channel, which is newer than list {here}", folder.display())]
    #[diagnostic(help("copy from the tree that has the newest list: are the folders the other way round?"))]
    Newer {
        /// Where.
        folder: PathBuf,
        /// Its serial there.
        there: u64,
        /// And of what was to be copied.
        here: u64,
    },
    /// No device takes it any more.
    #[error("the list of the channel {name} has expired at {expires}")]
    #[diagnostic(help("make a new one with `outcrop channel refresh`"))]
    Expired {
        /// Which channel.
        name: ChannelName,
        /// When it stopped to count.
        expires: jiff::Timestamp,
    },
    /// A list under another channel's name.
    #[error("{} is the list of the channel {found}", path.display())]
    #[diagnostic(help(
        "a list has its channel's name, and can't be renamed: bring the right one back from a copy, or move it away to begin a new channel"
    ))]
    OtherChannel {
        /// The file.
        path: PathBuf,
        /// The channel.
        found: ChannelName,
    },
    /// No channel there.
    #[error("there is no channel {} in {}", .name, .folder.display())]
    #[diagnostic(help("make it with `outcrop publish`, or name the folder of its tree"))]
    NoChannel {
        /// Its name.
        name: ChannelName,
        /// Where.
        folder: PathBuf,
    },
    /// None or several, and none was named.
    #[error("{} has {}", .folder.display(), described(.channels))]
    #[diagnostic(help("say which one with --channel"))]
    WhichChannel {
        /// Where.
        folder: PathBuf,
        /// Those that are there.
        channels: Vec<ChannelName>,
    },
    /// The tree's own list isn't what its owner signed.
    #[error("{} isn't a list that this key, or the trust file's channel keys, have signed", path.display())]
    #[diagnostic(help(
        "if the keys have changed, name the trust file that has the old ones with --trust; else somebody has changed the list: bring it back from a copy"
    ))]
    Untrusted {
        /// The list.
        path: PathBuf,
        /// Why it isn't trusted.
        source: Untrusted,
    },
    /// The tree's own list can't be read.
    #[error("read {}", path.display())]
    #[diagnostic(help("bring it back from a copy"))]
    Channel {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        source: ChannelError,
    },
    /// The tree's own list isn't signed.
    #[error("{} is no channel", .0.display())]
    #[diagnostic(help("bring it back from a copy"))]
    NoList(PathBuf),
    /// Signatures that can't stand together.
    #[error("sign the channel")]
    #[diagnostic(help("name each key once"))]
    Sign(#[from] SignatureError),
    /// A change that makes no sense.
    #[error("change the channel {name}")]
    #[diagnostic(help("`outcrop channel show` tells what it offers"))]
    Edit {
        /// Which one.
        name: ChannelName,
        /// Why not.
        source: EditError,
    },
    /// No device could read the new list.
    #[error("no device could read the new list")]
    #[diagnostic(help("name fewer labels or releases, or shorter texts"))]
    Unreadable(#[source] ChannelError),
    /// Devices wouldn't take the new list.
    #[error("devices with this trust file wouldn't take the new list")]
    #[diagnostic(help("sign with as many of the trust file's channel keys as it demands: --key may repeat"))]
    Refused(#[source] ChannelRefusal),
}

fn described(channels: &[ChannelName]) -> String {
    match channels {
        [] => "no channel".to_owned(),
        several => {
            let names: Vec<&str> = several.iter().map(ChannelName::as_str).collect();
            format!("several channels: {}", names.join(", "))
        }
    }
}

impl PublishError {
    /// What the user can do about it.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Io { source, .. } => FailureClass::of_io(source),
            Self::NoRoom { .. } => FailureClass::Environment,
            _ => FailureClass::Input,
        }
    }
}
