//! Publishing: a folder of static files that any web server or stick gives to devices. Its form is `outcrop_release::channel`'s.
//!
//! Bundles and deltas go first, synced, then the list that names them: a reader never sees a name without its bytes. Whoever changes a
//! tree holds a lock on its folder.

mod copy_tree;
mod error;
mod select;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    channel::{
        self, Admission, Channel, ChannelError, ChannelName, Lifetime, MAX_CHANNEL_BYTES, RELEASES_FOLDER,
    },
    digest::FileDigest,
    signed::{self, SignedDocument},
    trust::{Purpose, Role, Signatures, Trust, verify_channel},
};

pub use copy_tree::{Copied, Excerpt, copy_tree};
pub use error::PublishError;
pub use select::{Selected, select};

use crate::{
    bundle::Bundle,
    error::Error,
    file_lock::{self, Sharing},
    keys::{PrivateKey, public_halves},
    output::{PendingFile, replace_file},
    progress::{Progress, Unit},
};

/// What a list's file is called behind the channel's name.
const SUFFIX: &str = ".channel";
/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A publish tree that nobody else changes as long as this value is there.
#[derive(Debug)]
pub struct Tree {
    folder: PathBuf,
    _lock: File,
}

/// Who signs the lists of a tree, and who vouches for those that are there.
#[derive(Debug)]
pub struct Signers<'a> {
    keys: &'a [PrivateKey],
    trust: Option<&'a Trust>,
    role: Role,
}

impl<'a> Signers<'a> {
    /// `keys` sign. Lists that are there are those that the channel keys of `trust` have signed; without it, any of `keys`.
    ///
    /// # Errors
    /// When there is no key, or one comes twice.
    pub fn new(keys: &'a [PrivateKey], trust: Option<&'a Trust>) -> Result<Self, Error> {
        if keys.is_empty() {
            return Err(PublishError::NoKey.into());
        }
        let named = public_halves(keys)?.into_iter().map(|key| (key.to_string(), key));
        let own = Role::new(1, named.collect()).map_err(crate::keys::KeysError::Trust)?;
        Ok(Self {
            keys,
            trust,
            role: trust.and_then(Trust::channel).cloned().unwrap_or(own),
        })
    }

    fn sign(&self, channel: &Channel) -> Result<Vec<u8>, Error> {
        let document = channel.to_bytes();
        // Whatever is wrong with it: what can't be read again is never signed.
        Channel::parse(&document).map_err(PublishError::Unreadable)?;
        let mut signatures = Signatures::default();
        for key in self.keys {
            let signature = key.sign(Purpose::Channel, &document)?;
            signatures.add(signature).map_err(PublishError::from)?;
        }
        let bytes = signed::join(&document, &signatures);
        if bytes.len() > MAX_CHANNEL_BYTES {
            return Err(PublishError::Unreadable(ChannelError::TooLong(bytes.len())).into());
        }
        if let Some(trust) = self.trust {
            let admission = Admission {
                trust,
                name: &channel.name,
                seen: None,
                now: channel.issued,
                built: channel.issued,
            };
            channel::accept(&bytes, &admission).map_err(PublishError::Refused)?;
        }
        Ok(bytes)
    }
}

/// A list that counts from now on.
#[must_use]
pub fn lifetime(now: Timestamp, counts_for: SignedDuration) -> Lifetime {
    Lifetime {
        // Whole seconds: nobody reads more.
        issued: Timestamp::from_second(now.as_second()).unwrap_or(now),
        counts_for,
    }
}

impl Tree {
    /// Takes hold of a tree, which is made when it isn't there; waits for others.
    ///
    /// # Errors
    /// When the folder can't be made or locked.
    pub fn hold(folder: &Path, progress: &dyn Progress) -> Result<Self, Error> {
        let releases = folder.join(RELEASES_FOLDER);
        fs::create_dir_all(&releases).map_err(failed("make folder", &releases))?;
        let lock = File::open(folder).map_err(failed("open folder", folder))?;
        lock.sync_all().map_err(failed("sync folder", folder))?;
        file_lock::wait(&lock, Sharing::Alone, "the publish tree", progress)
            .map_err(failed("lock", folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// The channels that are there, by name.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn channels(&self) -> Result<Vec<ChannelName>, PublishError> {
        names_in(&self.folder)
    }

    /// The channel that is meant: the one that is named, or the only one.
    ///
    /// # Errors
    /// [`PublishError::WhichChannel`].
    pub fn which(&self, named: Option<&ChannelName>) -> Result<ChannelName, PublishError> {
        only_channel(&self.folder, named)
    }

    /// A channel's list, if there is one; who signed it is checked.
    ///
    /// # Errors
    /// When it isn't what its owner signed, or can't be read.
    pub fn read(&self, name: &ChannelName, signers: &Signers<'_>) -> Result<Option<Channel>, PublishError> {
        let path = self.path(name);
        let Some(bytes) = read_list(&path)? else {
            return Ok(None);
        };
        let list = SignedDocument::split(&bytes).map_err(|_| PublishError::NoList(path.clone()))?;
        verify_channel(&list, &signers.role).map_err(|source| PublishError::Untrusted {
            path: path.clone(),
            source,
        })?;
        parse_list(path, &list, name).map(Some)
    }

    /// The same list, which must be there.
    ///
    /// # Errors
    /// As [`Tree::read`], and [`PublishError::NoChannel`].
    pub fn must_read(&self, name: &ChannelName, signers: &Signers<'_>) -> Result<Channel, PublishError> {
        self.read(name, signers)?.ok_or_else(|| PublishError::NoChannel {
            name: name.clone(),
            folder: self.folder.clone(),
        })
    }

    /// Signs a list and puts it in the place of the one before.
    ///
    /// # Errors
    /// When devices wouldn't take it, or it can't be written.
    pub fn write(&self, channel: &Channel, signers: &Signers<'_>) -> Result<PathBuf, Error> {
        let bytes = signers.sign(channel)?;
        let path = self.path(&channel.name);
        replace_file(&path, &bytes).map_err(failed("write", &path))?;
        Ok(path)
    }

    /// Copies a release and its deltas into the tree. What is there already stays.
    ///
    /// # Errors
    /// When another release has the name, or something can't be copied.
    pub fn add(&self, selected: &Selected, progress: &dyn Progress) -> Result<(), Error> {
        let bundle = &selected.bundle;
        let to = self.release_path(bundle.path());
        if to.exists() {
            let there = Bundle::open(&to)?;
            if FileDigest::of(there.manifest_bytes()) != FileDigest::of(bundle.manifest_bytes()) {
                return Err(PublishError::Other(to).into());
            }
        }
        for path in std::iter::once(bundle.path()).chain(selected.deltas.iter().map(PathBuf::as_path)) {
            copy(path, &self.release_path(path), progress)?;
        }
        Ok(())
    }

    fn path(&self, name: &ChannelName) -> PathBuf {
        self.folder.join(name.file_name())
    }

    fn release_path(&self, file: &Path) -> PathBuf {
        self.folder
            .join(RELEASES_FOLDER)
            .join(file.file_name().unwrap_or_default())
    }
}

/// What a list says that is called as `name`'s, and must be it.
fn parse_list(path: PathBuf, list: &SignedDocument<'_>, name: &ChannelName) -> Result<Channel, PublishError> {
    let channel = match Channel::parse(list.document) {
        Ok(channel) => channel,
        Err(source) => return Err(PublishError::Channel { path, source }),
    };
    if channel.name != *name {
        let found = channel.name;
        return Err(PublishError::OtherChannel { path, found });
    }
    Ok(channel)
}

fn read_list(path: &Path) -> Result<Option<Vec<u8>>, PublishError> {
    use io::Read as _;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("open", path)(source)),
    };
    let mut bytes = Vec::new();
    let most = MAX_CHANNEL_BYTES as u64 + 1;
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    Ok(Some(bytes))
}

/// Copies a file; a web server that reads meanwhile sees the old one or the new one.
fn copy(from: &Path, to: &Path, progress: &dyn Progress) -> Result<(), Error> {
    use io::{Read as _, Write as _};
    let mut source = File::open(from).map_err(failed("open", from))?;
    let total = source.metadata().map_err(failed("look at", from))?.len();
    let pending = PendingFile::create(to).map_err(failed("write", to))?;
    let phase = progress.phase("copy", Some(total), Unit::Bytes);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        phase.checkpoint()?;
        let read = source.read(&mut piece).map_err(failed("read", from))?;
        if read == 0 {
            break;
        }
        let bytes = piece.get(..read).unwrap_or_default();
        pending.file().write_all(bytes).map_err(failed("write", to))?;
        phase.advance(read as u64);
    }
    drop(phase);
    Ok(pending.publish().map_err(failed("write", to))?)
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError + use<> {
    let path = path.to_owned();
    move |source| PublishError::Io { doing, path, source }
}

/// Reads channels' lists without looking at who signed them: the one that is named, or all.
///
/// # Errors
/// When there is none, or one can't be read.
pub fn read_unchecked(folder: &Path, named: Option<&ChannelName>) -> Result<Vec<Channel>, PublishError> {
    let names = match named {
        Some(name) => vec![name.clone()],
        None => names_in(folder)?,
    };
    let mut channels = Vec::new();
    for name in names {
        let path = folder.join(name.file_name());
        let bytes = read_list(&path)?.ok_or_else(|| PublishError::NoChannel {
            name,
            folder: folder.to_owned(),
        })?;
        let list = SignedDocument::split(&bytes).map_err(|_| PublishError::NoList(path.clone()))?;
        channels
            .push(Channel::parse(list.document).map_err(|source| PublishError::Channel { path, source })?);
    }
    if channels.is_empty() {
        return Err(PublishError::WhichChannel {
            folder: folder.to_owned(),
            channels: Vec::new(),
        });
    }
    Ok(channels)
}

fn only_channel(folder: &Path, named: Option<&ChannelName>) -> Result<ChannelName, PublishError> {
    if let Some(name) = named {
        return Ok(name.clone());
    }
    let mut channels = names_in(folder)?;
    match channels.len() {
        1 => Ok(channels.remove(0)),
        _ => Err(PublishError::WhichChannel {
            folder: folder.to_owned(),
            channels,
        }),
    }
}

fn names_in(folder: &Path) -> Result<Vec<ChannelName>, PublishError> {
    let list = || -> io::Result<Vec<ChannelName>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            found.extend(name.and_then(|name| name.parse().ok()));
        }
        found.sort();
        Ok(found)
    };
    list().map_err(failed("list", folder))
}
