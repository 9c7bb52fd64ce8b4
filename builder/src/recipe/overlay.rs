//! Overlay folders: what of a host's folder goes into the image.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::problem::RecipeError;
use crate::tree::TreePath;

/// One thing that an overlay adds. Everything belongs to root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayEntry {
    /// Where it goes.
    pub path: TreePath,
    /// What it is.
    pub node: OverlayNode,
}

/// What an overlay can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayNode {
    /// A folder, mode 0755.
    Folder,
    /// A file.
    File {
        /// Where its content lies on the host; absolute if the overlay's path is.
        source: PathBuf,
        /// Whether the owner may execute it: then its mode is 0755, else 0644. No other bit counts, so that the umask
        /// of whoever made the folder doesn't show in the image.
        executable: bool,
    },
    /// A symbolic link with this target, as it is.
    Symlink(String),
}

/// Lists what is in `folder`, sorted by path, so that a folder comes before what is in it.
///
/// # Errors
/// When something can't be read, has a name that no image may have, or is a device, socket or FIFO.
pub fn walk(folder: &Path) -> Result<Vec<OverlayEntry>, RecipeError> {
    let mut entries = Vec::new();
    let mut folders = vec![(folder.to_owned(), TreePath::root())];
    while let Some((host, inside)) = folders.pop() {
        let fail = |source| RecipeError::Content {
            path: host.clone(),
            source,
        };
        for child in fs::read_dir(&host).map_err(fail)? {
            let child = child.map_err(fail)?;
            let entry = entry(&child, &inside).map_err(|source| RecipeError::Content {
                path: child.path(),
                source,
            })?;
            if entry.node == OverlayNode::Folder {
                folders.push((child.path(), entry.path.clone()));
            }
            entries.push(entry);
        }
    }
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn entry(child: &fs::DirEntry, inside: &TreePath) -> io::Result<OverlayEntry> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let name = child.file_name();
    let name = name
        .to_str()
        .ok_or_else(|| invalid("its name is not UTF-8".to_owned()))?;
    let path = inside.join(name).map_err(|error| invalid(error.to_string()))?;
    let metadata = fs::symlink_metadata(child.path())?;
    let node = if metadata.is_dir() {
        OverlayNode::Folder
    } else if metadata.is_file() {
        OverlayNode::File {
            source: child.path(),
            executable: metadata.permissions().mode() & 0o100 != 0,
        }
    } else if metadata.is_symlink() {
        let target = fs::read_link(child.path())?.into_os_string().into_string();
        OverlayNode::Symlink(target.map_err(|_| invalid("its target is not UTF-8".to_owned()))?)
    } else {
        return Err(invalid("it is no file, folder or symbolic link".to_owned()));
    };
    Ok(OverlayEntry { path, node })
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[test]
    fn files_folders_and_links_are_listed_in_order_and_only_the_owners_execute_bit_counts() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("usr/bin")).unwrap();
        fs::write(at("usr/bin/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(at("usr/bin/run"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(at("a"), "").unwrap();
        fs::set_permissions(at("a"), fs::Permissions::from_mode(0o666)).unwrap();
        symlink("../nowhere", at("usr/link")).unwrap();
        let entries = walk(folder.path()).unwrap();
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a", "usr", "usr/bin", "usr/bin/run", "usr/link"]);
        let executable =
            |index: usize| matches!(entries[index].node, OverlayNode::File { executable: true, .. });
        assert!(!executable(0) && executable(3));
        assert_eq!(entries[4].node, OverlayNode::Symlink("../nowhere".to_owned()));
    }

    #[test]
    fn a_socket_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = UnixListener::bind(folder.path().join("s")).unwrap();
        let error = walk(folder.path()).unwrap_err();
        assert!(error.to_string().contains("/s"), "{error}");
    }
}
