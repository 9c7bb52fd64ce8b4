//! The last look at the tree: what makes a device unsafe or unbootable must not get past it; what an auditor wants to
//! see is listed.

mod layered;

use std::collections::{BTreeMap, BTreeSet};

use outcrop_release::arch::Architecture;

use super::{actions::CAPABILITY_ATTRIBUTE, edit, error::FinishError, inputs::Inputs, report::Privilege};
use crate::tree::{Entry, Node, Tree, TreePath};

/// Without these nothing starts.
const REQUIRED: [(&str, &str); 4] = [
    ("usr/lib/systemd/systemd", "systemd"),
    ("usr/bin/udevadm", "udev"),
    ("etc/passwd", "base-passwd"),
    ("etc/machine-id", "systemd"),
];
/// Links that must stay links: a folder instead hides /usr.
const LINKS: [&str; 3] = ["bin", "lib", "sbin"];
const SETUID: u16 = 0o4000;
const SETGID: u16 = 0o2000;
const STICKY: u16 = 0o1000;
const OTHERS_WRITE: u16 = 0o002;

/// Checks `tree` and lists its privileged files.
///
/// # Errors
/// [`FinishError::Check`] says what is wrong.
pub(super) fn run(tree: &Tree, inputs: &Inputs<'_>) -> Result<Vec<(TreePath, Privilege)>, FinishError> {
    for (path, package) in REQUIRED {
        let path: TreePath = path.parse().map_err(FinishError::Path)?;
        if edit::resolve(tree, &path).is_none() {
            return Err(FinishError::Missing { path, package });
        }
    }
    let loader = (inputs.architecture == Architecture::X86_64).then_some("lib64");
    for link in LINKS.into_iter().chain(loader) {
        if !matches!(tree.get(link).map(|entry| &entry.node), Some(Node::Symlink(_))) {
            return Err(FinishError::Layered {
                what: format!("/{link} is no link into /usr"),
                help: "keep base-files and libc6, which bring /usr/lib and /usr/lib64, and put files of [[files]] and overlays below /usr: Outcrop makes the links",
            });
        }
    }
    no_passwords(tree, "etc/passwd", &["x", "*", "!"])?;
    no_passwords(tree, "etc/shadow", &[])?;
    layered::run(tree, inputs)?;
    if !edit::names_in(tree, "etc/udev/hwdb.d", ".hwdb").is_empty() {
        return Err(FinishError::Check(
            "/etc/udev/hwdb.d has files, but images have no hardware database".to_owned(),
        ));
    }
    let mut privileged = Vec::new();
    for (path, entry) in tree.iter() {
        writable_by_all(path, entry)?;
        privileged.extend(privilege(entry).map(|privilege| (path.clone(), privilege)));
    }
    Ok(privileged)
}

/// No password in `file`, whoever wrote it: a hash in an image is the same on every device. `words` are what stands for a
/// password; without any, all that no password matches.
fn no_passwords(tree: &Tree, file: &str, words: &[&str]) -> Result<(), FinishError> {
    let path = file.parse().map_err(FinishError::Path)?;
    let text = edit::read_text(tree, &path)?.unwrap_or_default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut fields = line.split(':');
        let (name, password) = (
            fields.next().unwrap_or_default(),
            fields.next().unwrap_or_default(),
        );
        let locked = password.starts_with(['*', '!']) && !password.contains('$');
        if !(locked || words.contains(&password)) {
            return Err(FinishError::Layered {
                what: format!("account {name} has a password in /{file}, or none at all"),
                help: "leave the file to Outcrop: people log in with the keys in [users.NAME] ssh-keys",
            });
        }
    }
    Ok(())
}

fn writable_by_all(path: &TreePath, entry: &Entry) -> Result<(), FinishError> {
    let mode = entry.metadata.mode;
    let harmless = matches!(entry.node, Node::Symlink(_)) || (entry.is_directory() && mode & STICKY != 0);
    if mode & OTHERS_WRITE != 0 && !harmless {
        return Err(FinishError::Check(format!(
            "{path} can be written by everybody (mode {mode:04o})"
        )));
    }
    Ok(())
}

fn privilege(entry: &Entry) -> Option<Privilege> {
    let metadata = &entry.metadata;
    if !matches!(entry.node, Node::File(..)) {
        return None;
    }
    if metadata.mode & (SETUID | SETGID) != 0 {
        return Some(Privilege::Bits {
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
        });
    }
    metadata
        .xattrs
        .contains_key(CAPABILITY_ATTRIBUTE)
        .then_some(Privilege::Capabilities)
}

/// Bytes of content that each package has left in the tree, the largest first. A file of several packages counts for
/// the first by name.
pub(super) fn package_bytes(tree: &Tree, inputs: &Inputs<'_>, unpacked: &str) -> Vec<(String, u64)> {
    let mut seen = BTreeSet::new();
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for package in inputs.packages {
        for path in &package.files {
            let plain = [".xz", ".zst"]
                .iter()
                .find_map(|suffix| path.as_str().strip_suffix(suffix));
            let path = plain
                .filter(|plain| plain.starts_with(unpacked))
                .unwrap_or(path.as_str());
            if let Some(Entry {
                node: Node::File(content, _),
                ..
            }) = tree.get(path)
                && seen.insert(path)
            {
                *bytes.entry(&package.name).or_default() += content.len();
            }
        }
    }
    let mut sorted: Vec<(String, u64)> = bytes
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn sound() -> Tree {
        let mut tree = testing::tree(&[
            ("usr/lib/systemd/systemd", ""),
            ("usr/bin/udevadm", ""),
            ("usr/bin/su", ""),
            ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
            ("etc/machine-id", "uninitialized\n"),
            ("usr/lib/os-release", "IMAGE_ID=edge\nIMAGE_VERSION=\"0.1.0\"\n"),
            ("etc/shadow", "root:!*:::::::\nme:*:::::::\n"),
        ]);
        for link in LINKS.into_iter().chain(["lib64"]) {
            edit::link(&mut tree, link, &format!("usr/{link}")).unwrap();
        }
        tree
    }

    #[test]
    fn privileged_files_are_listed() {
        let mut tree = sound();
        tree.metadata_mut("usr/bin/su").unwrap().mode = 0o4755;
        let recipe = testing::recipe();
        let listed = run(&tree, &testing::inputs(&recipe)).unwrap();
        let bits = Privilege::Bits {
            mode: 0o4755,
            uid: 0,
            gid: 0,
        };
        assert_eq!(listed, [("usr/bin/su".parse().unwrap(), bits)]);
    }

    #[test]
    fn a_password_a_writable_file_and_a_folder_for_lib_are_refused() {
        let refused = |change: &dyn Fn(&mut Tree)| {
            let mut tree = sound();
            change(&mut tree);
            let recipe = testing::recipe();
            run(&tree, &testing::inputs(&recipe)).unwrap_err().to_string()
        };
        let password =
            |text: &'static str| move |tree: &mut Tree| edit::write_text(tree, "etc/shadow", text).unwrap();
        for text in ["root:$y$x:::::::\n", "root::::::::\n", "root:!$y$x:::::::\n"] {
            assert!(
                refused(&password(text)).contains("account root has a password"),
                "{text}"
            );
        }
        for text in [
            "root::0:0:root:/root:/bin/bash\n",
            "root:$y$x:0:0:root:/root:/bin/bash\n",
        ] {
            let passwd = |tree: &mut Tree| edit::write_text(tree, "etc/passwd", text).unwrap();
            assert!(refused(&passwd).contains("/etc/passwd"), "{text}");
        }
        let loader = refused(&|tree| edit::remove(tree, "lib64").unwrap());
        assert!(loader.ends_with("/lib64 is no link into /usr"), "{loader}");
        let writable = refused(&|tree| tree.metadata_mut("usr/bin/su").unwrap().mode = 0o666);
        assert!(
            writable.ends_with("/usr/bin/su can be written by everybody (mode 0666)"),
            "{writable}"
        );
        let folder = refused(&|tree| {
            edit::remove(tree, "lib").unwrap();
            edit::ensure_directory(tree, "lib", 0o755).unwrap();
        });
        assert!(folder.ends_with("/lib is no link into /usr"), "{folder}");
        assert!(
            refused(&|tree| edit::remove(tree, "usr/bin/udevadm").unwrap()).contains("the image has no udev")
        );
    }
}
