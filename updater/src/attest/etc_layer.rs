//! The upper layer of `/etc`: what was written there since the start, against what the configuration has there.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
};

use outcrop_release::{
    device_config::render::{Entry, Rendered},
    digest::FileDigest,
};

use super::{AttestError, Difference, What, read_error};
use crate::device::Device;

/// Where the layer lies, below `outcrop-init`'s folder.
const LAYER: &str = "etc/upper";
/// The file in that folder that says what the configuration has there: a digest and a path below `/etc` a line.
const FILE: &str = "configured";
/// What Outcrop and systemd write on every device at every start.
const USUAL: [&str; 3] = [".pwd.lock", ".updated", "machine-id"];

/// Leaves what the configuration has in `/etc` in `outcrop-init`'s folder.
///
/// # Errors
/// When it can't be written.
pub fn save_configured(folder: &Path, rendered: &Rendered) -> io::Result<()> {
    let mut text = String::new();
    for (path, entry) in &rendered.entries {
        let (Entry::Public(content) | Entry::Private(content) | Entry::Link(content)) = entry;
        // Writing to a string can't fail.
        let _ = writeln!(text, "{} {path}", FileDigest::of(content.as_bytes()));
    }
    fs::write(folder.join(FILE), text)
}

pub(super) fn differences(device: &Device) -> Result<Vec<Difference>, AttestError> {
    let folder = device.run_folder();
    let configured = fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let mut expected: BTreeMap<&str, &str> = configured
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(digest, path)| (path, digest))
        .collect();
    let mut found = Vec::new();
    walk(&folder.join(LAYER), "", &mut |path, state| {
        if USUAL.contains(&path) {
            return;
        }
        let (what, sha256) = match (expected.remove(path), state) {
            (_, State::Removed) => (What::Removed, None),
            (Some(wanted), State::Holds(digest)) if wanted == digest => return,
            (Some(_), State::Holds(digest)) => (What::Changed, Some(digest)),
            (None, State::Holds(digest)) => (What::Added, Some(digest)),
        };
        let path = format!("/etc/{path}");
        found.push(Difference { path, what, sha256 });
    })?;
    // What was there at the start and isn't any more.
    found.extend(expected.into_keys().map(|path| Difference {
        path: format!("/etc/{path}"),
        what: What::Removed,
        sha256: None,
    }));
    Ok(found)
}

/// A file or link of the layer.
enum State {
    /// What it holds: the digest of a file's bytes or a link's target.
    Holds(String),
    /// It hides the release's.
    Removed,
}

/// Tells every file below `folder`, with its path from the layer's top.
fn walk(folder: &Path, above: &str, tell: &mut impl FnMut(&str, State)) -> Result<(), AttestError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(read_error(folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(read_error(folder))?;
        let path = entry.path();
        let below = format!("{above}{}", entry.file_name().to_string_lossy());
        let facts = path.symlink_metadata().map_err(read_error(&path))?;
        let kind = facts.file_type();
        if kind.is_dir() {
            walk(&path, &format!("{below}/"), tell)?;
        } else if kind.is_char_device() && facts.rdev() == 0 {
            // Source: Linux, `Documentation/filesystems/overlayfs.rst`, "whiteouts and opaque directories".
            tell(&below, State::Removed);
        } else if kind.is_file() {
            let bytes = fs::read(&path).map_err(read_error(&path))?;
            tell(&below, State::Holds(FileDigest::of(&bytes).to_string()));
        } else {
            let target = fs::read_link(&path).unwrap_or_default();
            tell(
                &below,
                State::Holds(FileDigest::of(target.as_os_str().as_bytes()).to_string()),
            );
        }
    }
    Ok(())
}
