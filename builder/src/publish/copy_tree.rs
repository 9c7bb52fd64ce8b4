//! A publish tree once more, for a stick: the list as it was signed, and of the releases what the devices there need.
//!
//! A list of its own would have serials of its own: a device that follows the web, too, would take it for an old one, or for a fork.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use outcrop_release::{
    channel::{Channel, ChannelName, EditError, Offer, RELEASES_FOLDER},
    digest::FileDigest,
    signed::SignedDocument,
};
use rustix::fs::statvfs;
use semver::Version;

use super::{
    PublishError, Tree, copy, failed, only_channel, parse_list, read_list,
    select::{deltas_beside, files},
};
use crate::{
    bundle::Bundle,
    error::Error,
    file_lock::{self, Sharing},
    output::replace_file,
    progress::Progress,
};

/// Room for folders and the list.
const SLACK_BYTES: u64 = 1 << 20;
/// Bytes that are compared at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What is copied.
#[derive(Debug, Clone)]
pub struct Excerpt {
    /// Which channel; the only one without.
    pub channel: Option<ChannelName>,
    /// Releases, by version or name; all that are offered without.
    pub releases: Vec<String>,
    /// Versions whose devices get deltas.
    pub from: Vec<Version>,
}

/// What was copied.
#[derive(Debug)]
pub struct Copied {
    /// The list.
    pub channel: Channel,
    /// Names of the files in its folder of releases that devices need; some may have been there.
    pub files: Vec<String>,
    /// Bytes that were written.
    pub bytes: u64,
}

/// Copies what `excerpt` says of the tree `from` to the folder `to`, which is there: bundles and deltas first, then the list, each synced. Files
/// that are there and the same stay.
///
/// # Errors
/// When the list has expired, `to` has a newer one or no room, or something isn't there: nothing is written then.
pub fn copy_tree(
    from: &Path,
    to: &Path,
    excerpt: &Excerpt,
    progress: &dyn Progress,
) -> Result<Copied, Error> {
    copy_tree_with(from, to, excerpt, &free, progress)
}

pub(super) fn copy_tree_with(
    from: &Path,
    to: &Path,
    excerpt: &Excerpt,
    free: &dyn Fn(&Path) -> io::Result<Room>,
    progress: &dyn Progress,
) -> Result<Copied, Error> {
    let lock = File::open(from).map_err(failed("open folder", from))?;
    file_lock::wait(&lock, Sharing::Shared, "the publish tree", progress).map_err(failed("lock", from))?;
    let name = only_channel(from, excerpt.channel.as_ref())?;
    let (list, channel) = read(from, &name)?.ok_or_else(|| PublishError::NoChannel {
        name: name.clone(),
        folder: from.to_owned(),
    })?;
    check_list(&channel, to)?;
    let sources = sources(from, &channel, excerpt)?;
    let missing = missing(&sources, to)?;
    let bytes = check_room(&missing, to, free)?;
    let tree = Tree::hold(to, progress)?;
    for path in &missing {
        copy(path, &tree.release_path(path), progress)?;
    }
    let path = tree.path(&name);
    replace_file(&path, &list).map_err(failed("write", &path))?;
    let names = sources.iter().filter_map(|path| path.file_name());
    Ok(Copied {
        channel,
        files: names.map(|name| name.to_string_lossy().into_owned()).collect(),
        bytes,
    })
}

/// A list as it is, and what it says; nobody's signature is looked at: devices do that.
fn read(folder: &Path, name: &ChannelName) -> Result<Option<(Vec<u8>, Channel)>, PublishError> {
    let path = folder.join(name.file_name());
    let Some(bytes) = read_list(&path)? else {
        return Ok(None);
    };
    let list = SignedDocument::split(&bytes).map_err(|_| PublishError::NoList(path.clone()))?;
    let channel = parse_list(path, &list, name)?;
    Ok(Some((bytes, channel)))
}

/// Whether the list is worth a way, and no older than the one that is there.
fn check_list(channel: &Channel, to: &Path) -> Result<(), PublishError> {
    if channel.expires <= Timestamp::now() {
        return Err(PublishError::Expired {
            name: channel.name.clone(),
            expires: channel.expires,
        });
    }
    if !to.is_dir() {
        return Err(PublishError::NoFolder(to.to_owned()));
    }
    // What can't be read there is replaced.
    match read(to, &channel.name).ok().flatten() {
        Some((_, there)) if there.serial > channel.serial => Err(PublishError::Newer {
            folder: to.to_owned(),
            there: there.serial,
            here: channel.serial,
        }),
        _ => Ok(()),
    }
}

/// Files of the tree that are needed.
fn sources(from: &Path, channel: &Channel, excerpt: &Excerpt) -> Result<Vec<PathBuf>, Error> {
    let folder = from.join(RELEASES_FOLDER);
    let there = files(&folder).map_err(failed("list", &folder))?;
    let (mut sources, mut versions) = (Vec::new(), Vec::new());
    let offers = offers(channel, &excerpt.releases)?;
    for offer in &offers {
        let bundle = Bundle::open(&folder.join(offer.file_name()))?;
        if FileDigest::of(bundle.manifest_bytes()) != offer.manifest {
            return Err(PublishError::Other(bundle.path().to_owned()).into());
        }
        sources.push(bundle.path().to_owned());
        for (path, old) in deltas_beside(&bundle, &there)? {
            if old.as_ref().is_some_and(|old| excerpt.from.contains(old)) {
                sources.push(path);
                versions.extend(old);
            }
        }
    }
    // Of several releases, not each has one from each version.
    match excerpt.from.iter().find(|wanted| !versions.contains(wanted)) {
        Some(missing) => Err(PublishError::NoDeltas(missing.clone()).into()),
        None => Ok(sources),
    }
}

/// The offers that are meant: what is paused comes to nobody.
fn offers<'c>(channel: &'c Channel, wanted: &[String]) -> Result<Vec<&'c Offer>, PublishError> {
    let is_wanted = |offer: &&Offer| wanted.is_empty() || wanted.iter().any(|name| offer.is_called(name));
    let offers: Vec<&Offer> = channel.offers.iter().filter(is_wanted).collect();
    let is_missing = |name: &&String| !offers.iter().any(|offer| offer.is_called(name));
    match wanted.iter().find(is_missing) {
        Some(name) => Err(PublishError::Edit {
            name: channel.name.clone(),
            source: EditError::Unknown(name.clone()),
        }),
        None => Ok(offers
            .into_iter()
            .filter(|offer| !offer.paused || !wanted.is_empty())
            .collect()),
    }
}

/// Those files that aren't in the tree `to` as they are.
fn missing(sources: &[PathBuf], to: &Path) -> Result<Vec<PathBuf>, PublishError> {
    let releases = to.join(RELEASES_FOLDER);
    let mut missing = Vec::new();
    for path in sources {
        let there = releases.join(path.file_name().unwrap_or_default());
        if !is_same(path, &there).map_err(failed("compare", &there))? {
            missing.push(path.clone());
        }
    }
    Ok(missing)
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let other = match File::open(other) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let one = File::open(one)?;
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (one, other);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        for (file, piece) in [(&mut one, &mut left), (&mut other, &mut right)] {
            piece.clear();
            file.take(PIECE_BYTES as u64).read_to_end(piece)?;
        }
        if left != right || left.is_empty() {
            return Ok(left == right);
        }
    }
}

/// Room of a file system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Bytes that are free.
    pub(super) free: u64,
    /// Files take whole blocks of so many bytes.
    pub(super) block: u64,
}

fn free(folder: &Path) -> io::Result<Room> {
    let facts = statvfs(folder)?;
    Ok(Room {
        free: facts.f_bavail.saturating_mul(facts.f_frsize),
        block: facts.f_frsize.max(1),
    })
}

/// How many bytes the files have, if there is room for them. One that is replaced goes when the new one is there.
fn check_room(
    files: &[PathBuf],
    to: &Path,
    free: &dyn Fn(&Path) -> io::Result<Room>,
) -> Result<u64, PublishError> {
    let room = free(to).map_err(failed("look at the room of", to))?;
    let (mut bytes, mut needed) = (0_u64, SLACK_BYTES);
    for path in files {
        let len = fs::metadata(path).map_err(failed("look at", path))?.len();
        bytes = bytes.saturating_add(len);
        needed = needed.saturating_add(len.div_ceil(room.block).saturating_mul(room.block));
    }
    if needed > room.free {
        return Err(PublishError::NoRoom {
            folder: to.to_owned(),
            needed: needed.div_ceil(1_000_000),
            free: room.free / 1_000_000,
        });
    }
    Ok(bytes)
}
