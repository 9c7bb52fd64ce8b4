//! A stick that somebody plugs in: mounted to be read only, looked at for a publish tree, and let go.

use std::{
    ffi::CStr,
    fs, io,
    path::{Path, PathBuf},
};

use outcrop_release::channel::ChannelName;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// File systems that sticks have, in the order in which they are tried. A journal isn't replayed: that would write.
const KINDS: [(&str, &CStr); 4] = [
    ("vfat", c""),
    ("exfat", c""),
    ("ext4", c"noload"),
    ("iso9660", c""),
];
/// Folder of a stick in which a publish tree is looked for, beside its uppermost one.
const FOLDER: &str = "outcrop";
/// What a channel's file ends with.
const ENDING: &str = "channel";
/// Files of a folder that are looked at.
const MOST_FILES: usize = 10_000;

/// A stick can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum StickError {
    /// It can't be mounted.
    #[error("mount {}: it needs a file system of vfat, exfat, ext4 or iso9660", device.display())]
    Mount {
        /// The stick's partition.
        device: PathBuf,
        /// What the kernel says about the last kind.
        source: io::Error,
    },
    /// A folder.
    #[error("read {}: is the stick still there?", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has other channels.
    #[error("the stick has no channel {wanted}, which this device follows; it has {}", found.join(", "))]
    Others {
        /// The channel that the device follows.
        wanted: ChannelName,
        /// Those on the stick.
        found: Vec<String>,
    },
    /// It has none.
    #[error(
        "there is no publish tree in the stick's uppermost folder, nor in its folder `outcrop`: `outcrop channel copy` makes one"
    )]
    NoTree,
}

/// A mounted stick; it is let go when this is.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts the file system on `device` at the folder `at`, to be read only: nothing on it is run, and no device file of it opened.
    ///
    /// # Errors
    /// See [`StickError`].
    pub fn new(device: &Path, at: &Path) -> Result<Self, StickError> {
        fs::create_dir_all(at).map_err(|source| StickError::Read {
            path: at.to_owned(),
            source,
        })?;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let mut last = io::Error::from(io::ErrorKind::Unsupported);
        for (kind, options) in KINDS {
            match mount(device, at, kind, flags, options) {
                Ok(()) => return Ok(Self(at.to_owned())),
                Err(errno) => last = errno.into(),
            }
        }
        Err(StickError::Mount {
            device: device.to_owned(),
            source: last,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A stick that was pulled out is gone already.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// The publish tree below `folder` that has the channel.
///
/// # Errors
/// When there is none; [`StickError::Others`] names the channels that there are.
pub fn tree(folder: &Path, channel: &ChannelName) -> Result<PathBuf, StickError> {
    let mut others = Vec::new();
    for place in places(folder) {
        let found = channels(&place)?;
        if found.contains(&channel.to_string()) {
            return Ok(place);
        }
        others.extend(found);
    }
    if others.is_empty() {
        return Err(StickError::NoTree);
    }
    Err(StickError::Others {
        wanted: channel.clone(),
        found: others,
    })
}

/// Where a tree may lie: in the stick's own folder, and in one of its folders, which doesn't lead off it.
fn places(folder: &Path) -> Vec<PathBuf> {
    let inner = folder.join(FOLDER);
    let is_there = fs::symlink_metadata(&inner).is_ok_and(|facts| facts.is_dir());
    let mut places = vec![folder.to_owned()];
    places.extend(is_there.then_some(inner));
    places
}

/// The channels whose lists are in a folder, in order.
fn channels(folder: &Path) -> Result<Vec<String>, StickError> {
    let failed = |source| StickError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut found = Vec::new();
    for entry in entries.take(MOST_FILES) {
        let path = entry.map_err(failed)?.path();
        let is_list = path.extension().is_some_and(|ending| ending == ENDING);
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        // Whatever else ends like that is no channel.
        found.extend(name.filter(|name| is_list && name.parse::<ChannelName>().is_ok()));
    }
    found.sort();
    Ok(found)
}

/// Whether a partition is of this disk: a device that was started from USB has its own partitions offered, too. `class` is `/sys/class/block`.
#[must_use]
pub fn is_of_disk(partition: &Path, disk: &Path, class: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(ToOwned::to_owned);
    let Some((partition, disk)) = name(partition).zip(name(disk)) else {
        return false;
    };
    // The kernel's folder of a partition lies in its disk's.
    let real = fs::canonicalize(class.join(&partition)).unwrap_or_default();
    partition == disk || real.parent().and_then(name) == Some(disk)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn channel() -> ChannelName {
        "stable".parse().unwrap()
    }

    #[test]
    fn of_two_channels_on_a_stick_the_one_that_the_device_follows_counts() {
        let stick = tempfile::tempdir().unwrap();
        let folder = stick.path();
        assert!(matches!(tree(folder, &channel()), Err(StickError::NoTree)));
        fs::write(folder.join("beta.channel"), "").unwrap();
        fs::write(folder.join("Not one.channel"), "").unwrap();
        let Err(StickError::Others { found, .. }) = tree(folder, &channel()) else {
            panic!("it has none that counts")
        };
        assert_eq!(found, ["beta"]);
        fs::write(folder.join("stable.channel"), "").unwrap();
        assert_eq!(tree(folder, &channel()).unwrap(), folder);
    }

    #[test]
    fn a_tree_may_lie_in_a_folder_of_its_own() {
        let stick = tempfile::tempdir().unwrap();
        let inner = stick.path().join("outcrop");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("stable.channel"), "").unwrap();
        assert_eq!(tree(stick.path(), &channel()).unwrap(), inner);
        // Somebody's file of that name is no tree.
        fs::remove_dir_all(&inner).unwrap();
        fs::write(&inner, "").unwrap();
        assert!(matches!(tree(stick.path(), &channel()), Err(StickError::NoTree)));
    }

    #[test]
    fn a_folder_that_leads_off_the_stick_is_no_tree() {
        let root = tempfile::tempdir().unwrap();
        let (stick, elsewhere) = (root.path().join("stick"), root.path().join("elsewhere"));
        fs::create_dir(&stick).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("stable.channel"), "").unwrap();
        symlink(&elsewhere, stick.join("outcrop")).unwrap();
        assert!(matches!(tree(&stick, &channel()), Err(StickError::NoTree)));
    }

    #[test]
    fn the_device_s_own_disk_is_no_stick() {
        let sys = tempfile::tempdir().unwrap();
        let class = sys.path().join("class");
        fs::create_dir(&class).unwrap();
        for (disk, partition) in [("sda", "sda1"), ("sdb", "sdb1")] {
            let real = sys.path().join("devices").join(disk).join(partition);
            fs::create_dir_all(&real).unwrap();
            symlink(real, class.join(partition)).unwrap();
        }
        let is_own = |partition: &str| is_of_disk(Path::new(partition), Path::new("/dev/sda"), &class);
        assert!(is_own("/dev/sda1") && is_own("/dev/sda"));
        assert!(!is_own("/dev/sdb1") && !is_own("/dev/sdz9"));
    }

    #[test]
    fn what_can_t_be_mounted_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = Mounted::new(Path::new("/dev/null"), &folder.path().join("stick")).unwrap_err();
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }
}
