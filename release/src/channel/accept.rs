//! From signed bytes to a list that a device follows.
//!
//! The order is the one in which The Update Framework has clients check (specification 1.0.33, section 5): who signed, which
//! list it claims to be, that it is no older one, and that it still counts. docs/security.md goes through its attacks one by one.

use jiff::{SignedDuration, Timestamp};

use super::{Channel, ChannelError, ChannelName};
use crate::{
    digest::FileDigest,
    signed::{NotSigned, SignedDocument},
    trust::{Trust, Untrusted, verify_channel},
};

/// Longest channel with its signatures, in bytes: a device reads it into memory before it trusts anything.
pub const MAX_CHANNEL_BYTES: usize = 256 << 10;
/// How much later than a device's clock says a list may have been made.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// The last list that a device took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its serial.
    pub serial: u64,
    /// Digest of what was signed.
    pub digest: FileDigest,
}

/// What a list is held against.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// Whom the device trusts.
    pub trust: &'a Trust,
    /// The channel that it follows.
    pub name: &'a ChannelName,
    /// The last list of it that it took, if any.
    pub seen: Option<Seen>,
    /// The device's clock.
    pub now: Timestamp,
    /// When what runs was made: no right clock is earlier.
    pub built: Timestamp,
}

/// A list that may be followed. Nothing but [`accept`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    channel: Channel,
    seen: Seen,
    signers: Vec<String>,
}

/// Why a list isn't followed. Nothing has changed then: what the device follows stays what it was.
#[derive(Debug, thiserror::Error)]
pub enum ChannelRefusal {
    /// It is too long to be one.
    #[error("what is there is no channel: it has more than {MAX_CHANNEL_BYTES} bytes")]
    TooLong,
    /// It isn't signed: a web page, perhaps, of a network that wants a login first.
    #[error("what is there is no channel")]
    NotSigned(#[from] NotSigned),
    /// The device's trust file names no keys for channels.
    #[error("this device's trust file has no channel keys: it takes bundles, no channels")]
    NoKeys,
    /// Too few have signed, or a signature doesn't hold.
    #[error("nobody whom this device trusts has signed the channel as it is")]
    Untrusted(#[source] Untrusted),
    /// It is signed, and means nothing.
    #[error("the channel is signed and can't be read")]
    Channel(#[from] ChannelError),
    /// Another channel's list.
    #[error("this is the channel {found}, not {wanted}")]
    Name {
        /// The one that the device follows.
        wanted: ChannelName,
        /// The one that it was given.
        found: ChannelName,
    },
    /// An older list than one that the device has seen: a replay, or a server that was restored from a backup.
    #[error(
        "this is list {found} of the channel, and this device has seen list {seen} already: an old one is played back"
    )]
    Replayed {
        /// The last one that it took.
        seen: u64,
        /// The one that it was given.
        found: u64,
    },
    /// Another list under a serial that was given out.
    #[error("there are two lists {0} of the channel: its keys are used in two places")]
    Forked(u64),
    /// The device's clock is earlier than what runs.
    #[error(
        "the clock says {now}, and what runs was made at {built}: without the time, nobody knows whether a channel is still valid"
    )]
    Clock {
        /// The device's clock.
        now: Timestamp,
        /// When what runs was made.
        built: Timestamp,
    },
    /// It was made later than now.
    #[error("the channel was made at {issued}, and the clock says {now}")]
    Future {
        /// When it was made.
        issued: Timestamp,
        /// The device's clock.
        now: Timestamp,
    },
    /// It has expired: the network is cut off from new ones, or its owner has stopped to make them.
    #[error(
        "the channel has expired at {expires}: somebody keeps newer ones from this device, or nobody makes them"
    )]
    Expired {
        /// When it stopped to count.
        expires: Timestamp,
    },
}

impl ChannelRefusal {
    /// What to do next.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::TooLong | Self::NotSigned(_) => {
                "look at the address with a browser: a login page of the network, or a server's error, may be in its place"
            }
            Self::NoKeys => {
                "build a release whose trust file has channel keys (`outcrop keys trust --channel-key`), and install it by its bundle"
            }
            Self::Untrusted(_) => {
                "sign the channel with a key that this device's trust file has for channels"
            }
            Self::Channel(_) => "make the channel with an Outcrop that is no newer than this device's",
            Self::Name { .. } => {
                "follow the channel by its own name, or have the server give out the right file"
            }
            Self::Replayed { .. } | Self::Forked(_) => {
                "publish from the newest tree: any `outcrop channel` command there makes a list with a higher serial"
            }
            Self::Clock { .. } | Self::Future { .. } => {
                "set the clock, or let it be set: `time-servers` in device.toml. A bundle can be installed without"
            }
            Self::Expired { .. } => {
                "make a new list with `outcrop channel refresh`, or find out what keeps it from this device"
            }
        }
    }
}

/// Checks a list before anything of it counts.
///
/// # Errors
/// See [`ChannelRefusal`].
pub fn accept(bytes: &[u8], admission: &Admission<'_>) -> Result<Accepted, ChannelRefusal> {
    if bytes.len() > MAX_CHANNEL_BYTES {
        return Err(ChannelRefusal::TooLong);
    }
    let signed = SignedDocument::split(bytes)?;
    let trust = admission.trust.channel().ok_or(ChannelRefusal::NoKeys)?;
    let signers = verify_channel(&signed, trust).map_err(ChannelRefusal::Untrusted)?;
    let channel = Channel::parse(signed.document)?;
    let seen = Seen {
        serial: channel.serial,
        digest: FileDigest::of(signed.document),
    };
    check(&channel, seen, admission)?;
    Ok(Accepted {
        channel,
        seen,
        signers,
    })
}

fn check(channel: &Channel, found: Seen, admission: &Admission<'_>) -> Result<(), ChannelRefusal> {
    if channel.name != *admission.name {
        return Err(ChannelRefusal::Name {
            wanted: admission.name.clone(),
            found: channel.name.clone(),
        });
    }
    if let Some(seen) = admission.seen {
        if found.serial < seen.serial {
            return Err(ChannelRefusal::Replayed {
                seen: seen.serial,
                found: found.serial,
            });
        }
        if found.serial == seen.serial && found.digest != seen.digest {
            return Err(ChannelRefusal::Forked(seen.serial));
        }
    }
    let (now, built) = (admission.now, admission.built);
    if now < built {
        return Err(ChannelRefusal::Clock { now, built });
    }
    if channel.issued.duration_since(now) > SKEW {
        return Err(ChannelRefusal::Future {
            issued: channel.issued,
            now,
        });
    }
    if now >= channel.expires {
        return Err(ChannelRefusal::Expired {
            expires: channel.expires,
        });
    }
    Ok(())
}

impl Accepted {
    /// The list.
    #[must_use]
    pub const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// What a device remembers, durably, before it acts on the list.
    #[must_use]
    pub const fn seen(&self) -> Seen {
        self.seen
    }

    /// Names of the trusted keys that have signed.
    #[must_use]
    pub fn signers(&self) -> &[String] {
        &self.signers
    }
}
