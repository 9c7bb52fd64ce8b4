//! Leaving the initramfs: its files are freed, and the verified root becomes `/`.

use std::fs;
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::statfs,
    mount::mount_move,
    process::{chdir, chroot},
};

/// Magic numbers of the file systems that an initramfs can be. Source: Linux, `include/uapi/linux/magic.h`.
const INITRAMFS_MAGIC: [u64; 2] = [0x8584_58f6, 0x0102_1994];

/// The root couldn't be changed.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// `/` is something else than an initramfs: its files must not be deleted.
    #[error("/ is no initramfs (file system type {0:#x})")]
    NoInitramfs(u64),
    /// A step failed.
    #[error("{what} {path}")]
    Step {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes `root`, a mount point, the root of this process, and deletes everything in the initramfs, which is memory.
///
/// # Errors
/// When `/` is no initramfs, or a step fails.
pub fn switch_root(root: &Path) -> Result<(), SwitchError> {
    let step = |what, result: rustix::io::Result<()>| {
        result.map_err(|errno| SwitchError::Step {
            what,
            path: root.to_owned(),
            source: errno.into(),
        })
    };
    check_is_initramfs()?;
    step("change folder to", chdir(root))?;
    delete_all(Path::new("/"))?;
    step("move to / the mount of", mount_move(".", "/"))?;
    step("change root to", chroot("."))?;
    step("change folder to", chdir("/"))
}

fn check_is_initramfs() -> Result<(), SwitchError> {
    let info = statfs("/").map_err(|errno| SwitchError::Step {
        what: "look at",
        path: "/".into(),
        source: errno.into(),
    })?;
    let magic = u64::try_from(info.f_type).unwrap_or(0);
    if INITRAMFS_MAGIC.contains(&magic) {
        Ok(())
    } else {
        Err(SwitchError::NoInitramfs(magic))
    }
}

/// Deletes what is below `folder`, without leaving its file system.
fn delete_all(folder: &Path) -> Result<(), SwitchError> {
    let device = fs::symlink_metadata(folder)
        .map_err(|source| failed("look at", folder, source))?
        .dev();
    delete_on(device, folder)
}

fn delete_on(device: u64, folder: &Path) -> Result<(), SwitchError> {
    let entries = fs::read_dir(folder).map_err(|source| failed("list", folder, source))?;
    for entry in entries {
        let path = entry.map_err(|source| failed("list", folder, source))?.path();
        let metadata = fs::symlink_metadata(&path).map_err(|source| failed("look at", &path, source))?;
        if metadata.dev() != device {
            continue;
        }
        if !metadata.is_dir() {
            fs::remove_file(&path).map_err(|source| failed("delete", &path, source))?;
            continue;
        }
        delete_on(device, &path)?;
        match fs::remove_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                return Err(failed("delete", &path, error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> SwitchError {
    let path = path.to_owned();
    SwitchError::Step { what, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_below_a_folder_goes_and_links_are_not_followed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/file"), "x").unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        symlink(outside.path(), root.path().join("a/link")).unwrap();
        delete_all(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn another_file_system_below_is_left_alone() {
        // A folder that claims to be on a device that isn't its own stands for a mount point.
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "x").unwrap();
        let device = fs::symlink_metadata(root.path()).unwrap().dev();
        delete_on(device + 1, root.path()).unwrap();
        assert!(root.path().join("file").exists());
    }
}
