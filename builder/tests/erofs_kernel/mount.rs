//! The kernel's view of an image. Needs root: as another user the tests run themselves again under `sudo -n`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use outcrop_builder::tree::{LinkGroup, Node, Tree, TreePath};

use crate::sample;

/// A read-only mount, gone when dropped.
struct Mount {
    point: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mount {
    fn of(tree: &Tree) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (image, point) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::create_dir(&point).unwrap();
        sample::write_image(tree, &image);
        let output = Command::new("mount")
            .args(["-t", "erofs", "-o", "loop,ro"])
            .args([&image, &point])
            .output()
            .expect("mount: install the package mount");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mount {}: {text}", image.display());
        Self {
            point,
            _folder: folder,
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.point).status();
        assert!(
            std::thread::panicking() || status.is_ok_and(|status| status.success()),
            "unmount {}",
            self.point.display()
        );
    }
}

/// Runs `test` as root: here, or as the test `name` of this program under sudo.
fn as_root(name: &str, test: impl FnOnce()) {
    if rustix::process::geteuid().is_root() {
        return test();
    }
    let output = Command::new("sudo")
        .arg("-n")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .output()
        .expect("run sudo: mounting needs root, so be root or install the package sudo");
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && text.contains("1 passed");
    assert!(
        passed,
        "as root: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// All extended attributes of `file`, links not followed.
fn attributes(file: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let length = rustix::fs::llistxattr(file, &mut buffer[..]).unwrap();
    let names = buffer[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65_536];
            let length = rustix::fs::lgetxattr(file, CString::new(name).unwrap(), &mut value[..]).unwrap();
            value.truncate(length);
            (String::from_utf8(name.to_vec()).unwrap(), value)
        })
        .collect()
}

/// Every path below `folder`, by listing.
fn list(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), &format!("{path}/"), found);
        }
        assert!(found.insert(path));
    }
}

/// Compares every path, by looking it up, with the tree; and the listing.
fn assert_kernel_agrees(tree: &Tree) {
    let mount = Mount::of(tree);
    let mut listed = BTreeSet::new();
    list(&mount.point, "", &mut listed);
    let wanted = tree
        .iter()
        .map(|(path, _)| path.as_str())
        .filter(|path| !path.is_empty());
    assert_eq!(listed, wanted.map(str::to_owned).collect());

    let mut groups: BTreeMap<LinkGroup, BTreeSet<(u64, u64)>> = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let file = mount.point.join(path.as_str());
        let meta = fs::symlink_metadata(&file).unwrap();
        let metadata = &entry.metadata;
        assert_eq!(meta.mode() & 0o7777, u32::from(metadata.mode), "{path}");
        assert_eq!((meta.uid(), meta.gid()), (metadata.uid, metadata.gid), "{path}");
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        assert_eq!(times, [sample::TIME as i64, 0, sample::TIME as i64, 0], "{path}");
        assert_eq!(attributes(&file), metadata.xattrs, "{path}");
        let links = links(tree, path);
        assert_eq!(meta.nlink(), links, "{path}");
        match &entry.node {
            Node::Directory => assert!(meta.is_dir(), "{path}"),
            Node::Symlink(target) => {
                assert_eq!(
                    fs::read_link(&file).unwrap().as_os_str().as_bytes(),
                    target.as_bytes()
                );
            }
            Node::File(content, group) => {
                assert!(meta.is_file(), "{path}");
                assert!(fs::read(&file).unwrap() == content.read().unwrap(), "{path}");
                if let Some(group) = group {
                    groups.entry(*group).or_default().insert((meta.dev(), meta.ino()));
                }
            }
        }
        assert!(
            !mount.point.join(format!("{}~", path.as_str())).exists()
                || tree.contains(&format!("{}~", path.as_str()))
        );
    }
    assert!(groups.values().all(|inodes| inodes.len() == 1), "{groups:?}");
    let inodes: BTreeSet<_> = groups.values().flatten().collect();
    assert_eq!(inodes.len(), groups.len());
}

/// `st_nlink` that the tree asks for.
fn links(tree: &Tree, path: &TreePath) -> u64 {
    let count = match tree.get(path.as_str()).map(|entry| &entry.node) {
        Some(Node::Directory) => {
            2 + tree
                .children(path)
                .filter(|(_, child)| child.is_directory())
                .count()
        }
        Some(Node::File(_, Some(group))) => tree
            .iter()
            .filter(|(_, entry)| matches!(&entry.node, Node::File(_, Some(other)) if other == group))
            .count(),
        _ => 1,
    };
    count as u64
}

#[test]
fn the_kernel_shows_every_file_as_the_tree_has_it() {
    as_root("mount::the_kernel_shows_every_file_as_the_tree_has_it", || {
        assert_kernel_agrees(&sample::limits());
    });
}

#[test]
fn the_kernel_shows_random_trees_as_they_are() {
    as_root("mount::the_kernel_shows_random_trees_as_they_are", || {
        for seed in 0..6 {
            assert_kernel_agrees(&sample::random(seed));
        }
    });
}
