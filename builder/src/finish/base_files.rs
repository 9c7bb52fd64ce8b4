//! What no package ships because its maintainer script writes it, and the folders that a read-only root needs.

use super::{edit, error::FinishError, inputs::Inputs};
use crate::tree::{Entry, Tree, TreePath};

/// Mount points and folders that must exist, with their modes: nobody can make them on a read-only root.
const DIRECTORIES: [(&str, u16); 21] = [
    ("boot", 0o755),
    ("dev", 0o755),
    ("efi", 0o755),
    ("etc", 0o755),
    ("etc/opt", 0o755),
    ("media", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("usr/local/etc", 0o755),
    ("usr/local/games", 0o755),
    ("usr/local/include", 0o755),
    ("usr/local/lib", 0o755),
    ("usr/local/libexec", 0o755),
    ("usr/local/sbin", 0o755),
    ("usr/local/share", 0o755),
    ("usr/local/share/man", 0o755),
    ("usr/local/src", 0o755),
    ("var", 0o755),
];

/// Folders of the root that people and programs write to: links into /var, made there on the device with these modes.
const IN_VAR: [(&str, &str, u16); 5] = [
    ("home", "var/home", 0o755),
    ("mnt", "var/mnt", 0o755),
    ("opt", "var/opt", 0o755),
    ("root", "var/roothome", 0o700),
    ("srv", "var/srv", 0o755),
];

/// Log files that must exist to be written.
const LOGS: &str = "f /var/log/btmp 0660 root utmp -\nf /var/log/lastlog 0664 root utmp -\n\
                    f /var/log/wtmp 0664 root utmp -\n";

/// Folders of other architectures' libraries, which are aliases like /lib where they exist.
const LIBRARIES: [&str; 4] = ["lib32", "lib64", "libo32", "libx32"];

const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n\
                     ff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";

/// Templates of base-files and where its postinst copies them.
const TEMPLATES: [(&str, &str); 4] = [
    ("usr/share/base-files/profile", "etc/profile"),
    ("usr/share/base-files/motd", "etc/motd"),
    ("usr/share/base-files/dot.profile", "var/roothome/.profile"),
    ("usr/share/base-files/dot.bashrc", "var/roothome/.bashrc"),
];

/// Makes folders, links and files that every image has. Files that a layer or package brought stay.
///
/// # Errors
/// When a package has a file where a folder must be.
pub(super) fn run(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<(), FinishError> {
    for (path, mode) in DIRECTORIES {
        edit::put(tree, path, Entry::directory(mode))?;
    }
    writable_folders(tree)?;
    for (from, to) in TEMPLATES {
        let from: TreePath = from.parse().map_err(FinishError::Path)?;
        if let Some(text) = edit::read_text(tree, &from)? {
            edit::write_text_if_missing(tree, to, &text)?;
        }
    }
    edit::write_text_if_missing(tree, "etc/hosts", HOSTS)?;
    edit::write_text_if_missing(tree, "etc/hostname", &format!("{}\n", inputs.recipe.image.name))?;
    if tree.contains("etc/modules-load.d/modules.conf") {
        // The link's target is written by kmod's postinst; a dangling one fails systemd-modules-load.
        edit::write_text_if_missing(
            tree,
            "etc/modules",
            "# Names of kernel modules to load at boot, one a line.\n",
        )?;
    }
    edit::write_text_if_missing(tree, "etc/locale.conf", "LANG=C.UTF-8\n")?;
    // systemd(1), "machine-id": tells PID 1 that the device's own id isn't known yet.
    edit::write_text(tree, "etc/machine-id", "uninitialized\n")?;
    // systemd.unit(5), ConditionNeedsUpdate: as old as /usr, so nothing tries to regenerate files of a read-only root.
    edit::write_text(tree, "etc/.updated", "")?;
    links(tree)
}

/// Turns the writable folders of the root into links. Content in homes moves with them; with content in another one,
/// which is then part of the release, the folder stays as it is.
fn writable_folders(tree: &mut Tree) -> Result<(), FinishError> {
    let mut lines = LOGS.to_owned();
    for (path, target, mode) in IN_VAR {
        let folder: TreePath = path.parse().map_err(FinishError::Path)?;
        if !["home", "root"].contains(&path) && tree.below(&folder).next().is_some() {
            continue;
        }
        let moved: Vec<(String, Entry)> = tree
            .below(&folder)
            .map(|(found, entry)| (found.as_str().replacen(path, target, 1), entry.clone()))
            .collect();
        tree.remove(&folder);
        edit::put(tree, target, Entry::directory(mode))?;
        for (path, entry) in moved {
            edit::put(tree, &path, entry)?;
        }
        edit::link(tree, path, target)?;
    }
    // systemd's own would find links where it wants folders. The second would also let whoever starts the machine put
    // keys for root and host names into it: a device is configured by its device.toml alone.
    edit::remove(tree, "usr/lib/tmpfiles.d/home.conf")?;
    edit::remove(tree, "usr/lib/tmpfiles.d/provision.conf")?;
    if tree.contains("usr/lib/systemd/systemd-journald") {
        lines.push_str("d /var/log/journal 2755 root systemd-journal -\n");
    }
    edit::write_text(tree, "usr/lib/tmpfiles.d/outcrop-base.conf", &lines)
}

fn links(tree: &mut Tree) -> Result<(), FinishError> {
    let mut wanted = vec![
        ("etc/mtab", "../proc/self/mounts"),
        ("etc/default/locale", "../locale.conf"),
        ("var/run", "../run"),
        ("var/lock", "../run/lock"),
    ];
    let aliases = LIBRARIES.map(|name| (name, format!("usr/{name}")));
    for (name, target) in &aliases {
        if tree.contains(target) && !tree.contains(name) {
            wanted.push((name, target));
        }
    }
    if tree.contains("usr/share/zoneinfo/Etc/UTC") {
        wanted.push(("etc/localtime", "../usr/share/zoneinfo/Etc/UTC"));
    }
    if tree.contains("usr/lib/systemd/systemd-resolved") {
        wanted.push(("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"));
    }
    if tree.contains("etc/dpkg/origins/debian") {
        wanted.push(("etc/dpkg/origins/default", "debian"));
    }
    for (path, target) in wanted {
        if tree.get(path).is_some_and(Entry::is_directory) {
            edit::remove(tree, path)?;
        }
        edit::link(tree, path, target)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn finished(files: &[(&str, &str)]) -> Tree {
        let mut tree = testing::tree(files);
        let recipe = testing::recipe();
        run(&mut tree, &testing::inputs(&recipe)).unwrap();
        tree
    }

    fn target(tree: &Tree, path: &str) -> String {
        match &tree.get(path).unwrap().node {
            crate::tree::Node::Symlink(target) => target.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn folders_that_people_write_to_lead_into_var_with_what_was_in_roots() {
        let tree = finished(&[
            ("root/.x", "x"),
            ("home/me/x", "y"),
            ("usr/share/base-files/dot.bashrc", "rc"),
        ]);
        assert_eq!(
            (target(&tree, "home"), target(&tree, "root")),
            ("var/home".into(), "var/roothome".into())
        );
        assert_eq!(tree.get("var/roothome").unwrap().metadata.mode, 0o700);
        assert_eq!(
            (testing::text(&tree, "root/.x"), testing::text(&tree, "home/me/x")),
            ("x".into(), "y".into())
        );
        assert_eq!(testing::text(&tree, "root/.bashrc"), "rc");
    }

    #[test]
    fn a_package_in_opt_keeps_its_folder() {
        let tree = finished(&[("opt/vendor/x", "x")]);
        assert!(tree.get("opt").unwrap().is_directory());
    }

    #[test]
    fn the_machine_id_is_never_filled_and_the_temporary_folder_is_sticky() {
        let tree = finished(&[("etc/machine-id", "0123456789abcdef0123456789abcdef\n")]);
        assert_eq!(testing::text(&tree, "etc/machine-id"), "uninitialized\n");
        assert_eq!(tree.get("tmp").unwrap().metadata.mode, 0o1777);
        assert_eq!(testing::text(&tree, "etc/hostname"), "edge\n");
    }

    #[test]
    fn files_of_a_layer_stay_and_links_follow_what_is_installed() {
        let tree = finished(&[("etc/hosts", "mine"), ("usr/lib/systemd/systemd-resolved", "")]);
        assert_eq!(testing::text(&tree, "etc/hosts"), "mine");
        assert_eq!(
            target(&tree, "etc/resolv.conf"),
            "../run/systemd/resolve/stub-resolv.conf"
        );
        assert!(!tree.contains("etc/localtime"));
    }

    #[test]
    fn folders_that_base_files_makes_and_aliases_of_library_folders_are_there() {
        let tree = finished(&[("usr/lib32/libx.so", "")]);
        for path in [
            "etc/opt",
            "usr/local/games",
            "usr/local/libexec",
            "usr/local/share/man",
            "usr/local/src",
        ] {
            assert!(tree.get(path).unwrap().is_directory(), "{path}");
        }
        assert_eq!(target(&tree, "lib32"), "usr/lib32");
        assert!(!tree.contains("libx32"));
        let lines = testing::text(&tree, "usr/lib/tmpfiles.d/outcrop-base.conf");
        assert!(lines.contains("f /var/log/lastlog 0664 root utmp -"));
    }
}
