//! What an image doesn't carry: documentation, translations, sources of generated files, package management.
//!
//! Copyright files stay: licences demand that they travel with the programs.

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::{edit, error::FinishError};
use crate::tree::{Entry, Node, Tree, TreePath};

/// Removed with everything below.
const REMOVED: [&str; 51] = [
    // Documentation; /usr/share/doc is dealt with by itself.
    "usr/share/doc-base",
    "usr/share/gtk-doc",
    "usr/share/help",
    "usr/share/info",
    "usr/share/man",
    "usr/share/groff",
    // For checking, reporting on and building packages.
    "usr/include",
    "usr/share/bug",
    "usr/share/lintian",
    "usr/share/reportbug",
    "usr/share/debhelper",
    "usr/share/aclocal",
    "usr/share/pkgconfig",
    "usr/lib/initcpio",
    "usr/share/apport",
    // For desktops.
    "usr/share/applications",
    "usr/share/icons",
    "usr/share/menu",
    "usr/share/metainfo",
    "usr/share/pixmaps",
    // State and caches of package management; the database itself goes below /usr.
    "var/backups",
    "var/cache/adduser",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/cache/man",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/lib/pam",
    "var/lib/sgml-base",
    "var/lib/ucf",
    "var/lib/xml-core",
    "var/log/apt",
    "var/log/runit",
    // For making an initramfs on the machine: the builder makes it.
    "etc/initramfs-tools",
    "etc/kernel",
    "usr/share/initramfs-tools",
    "usr/lib/dracut",
    // Other init systems.
    "etc/rc0.d",
    "etc/rc1.d",
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc4.d",
    "etc/rc5.d",
    "etc/rc6.d",
    "etc/rcS.d",
    "etc/runit",
    "etc/sv",
    "usr/share/runit",
    // Explanations of journal entries; the database that they are compiled into would be made at every update.
    "usr/lib/systemd/catalog",
    // The hardware database: names of vendors, quirks of keyboards, mice and tablets.
    "usr/lib/udev/hwdb.d",
];

/// Single files and patterns, `*` not crossing folders.
const PATTERNS: [&str; 5] = [
    "usr/lib/python3*/**/__pycache__/**",
    "usr/share/python3*/**/*.pyc",
    "usr/lib/*/pkgconfig",
    "usr/lib/*/*.a",
    "etc/init.d/README",
];

/// Trims the tree.
///
/// # Errors
/// Never in practice: the paths are constants.
pub(super) fn run(tree: &mut Tree) -> Result<(), FinishError> {
    for path in REMOVED {
        edit::remove(tree, path)?;
    }
    documentation(tree);
    translations(tree);
    by_pattern(tree);
    native_init_scripts(tree)?;
    dangling_alternatives(tree);
    Ok(())
}

/// Keeps `copyright` (and the folders that lead to it, and links that share a folder) below /usr/share/doc.
fn documentation(tree: &mut Tree) {
    let Ok(folder) = "usr/share/doc".parse::<TreePath>() else {
        return;
    };
    let unwanted: Vec<TreePath> = tree
        .below(&folder)
        .filter(|(path, entry)| !entry.is_directory() && !keeps_licence(path, entry))
        .map(|(path, _)| path.clone())
        .collect();
    for path in unwanted {
        tree.remove(&path);
    }
    let mut folders: Vec<TreePath> = tree
        .below(&folder)
        .filter(|(_, entry)| entry.is_directory())
        .map(|(path, _)| path.clone())
        .collect();
    folders.reverse();
    for path in folders {
        if tree.below(&path).next().is_none() {
            tree.remove(&path);
        }
    }
}

fn keeps_licence(path: &TreePath, entry: &Entry) -> bool {
    let depth = path.components().count();
    match &entry.node {
        // usr/share/doc/PACKAGE -> OTHER: packages of one source share a folder.
        Node::Symlink(_) => depth == 4 || path.file_name() == Some("copyright"),
        _ => path.file_name() == Some("copyright"),
    }
}

/// Removes every language below /usr/share/locale: C.UTF-8 needs none.
fn translations(tree: &mut Tree) {
    let Ok(folder) = "usr/share/locale".parse::<TreePath>() else {
        return;
    };
    let languages: Vec<TreePath> = tree
        .children(&folder)
        .filter(|(_, entry)| entry.is_directory())
        .map(|(path, _)| path.clone())
        .collect();
    for path in languages {
        tree.remove(&path);
    }
}

fn by_pattern(tree: &mut Tree) {
    let Some(patterns) = patterns() else { return };
    let found: Vec<TreePath> = tree
        .iter()
        .filter(|(path, _)| patterns.is_match(path.as_str()))
        .map(|(path, _)| path.clone())
        .collect();
    for path in found {
        tree.remove(&path);
    }
}

fn patterns() -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in PATTERNS {
        set.add(Glob::new(pattern).ok()?);
    }
    set.build().ok()
}

/// Removes init scripts that have a unit of the same name: systemd would read them at every boot only to skip them.
fn native_init_scripts(tree: &mut Tree) -> Result<(), FinishError> {
    for name in edit::names_in(tree, "etc/init.d", "") {
        if tree.contains(&format!("usr/lib/systemd/system/{name}.service")) {
            edit::remove(tree, &format!("etc/init.d/{name}"))?;
        }
    }
    Ok(())
}

/// Removes links of /etc/alternatives whose target was documentation, and the links to them.
fn dangling_alternatives(tree: &mut Tree) {
    let through = |target: &str| target.starts_with("/etc/alternatives/");
    let dangling: Vec<TreePath> = tree
        .iter()
        .filter(|(path, entry)| match &entry.node {
            Node::Symlink(target) => {
                (path.as_str().starts_with("etc/alternatives/") || through(target))
                    && edit::resolve(tree, path).is_none()
            }
            _ => false,
        })
        .map(|(path, _)| path.clone())
        .collect();
    for path in dangling {
        tree.remove(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    #[test]
    fn documentation_goes_and_licences_stay() {
        let mut tree = testing::tree(&[
            ("usr/share/doc/a/copyright", "licence"),
            ("usr/share/doc/a/examples/x", ""),
            ("usr/share/doc/b/changelog.gz", ""),
            ("usr/share/man/man1/a.1.gz", ""),
            ("usr/share/locale/de/LC_MESSAGES/a.mo", ""),
            ("usr/share/locale/locale.alias", ""),
            ("usr/bin/a", ""),
        ]);
        edit::link(&mut tree, "usr/share/doc/c", "a").unwrap();
        edit::link(&mut tree, "etc/alternatives/a.1.gz", "/usr/share/man/man1/a.1.gz").unwrap();
        run(&mut tree).unwrap();
        for kept in [
            "usr/share/doc/a/copyright",
            "usr/share/doc/c",
            "usr/share/locale/locale.alias",
            "usr/bin/a",
        ] {
            assert!(tree.contains(kept), "{kept}");
        }
        for gone in [
            "usr/share/doc/a/examples",
            "usr/share/doc/b",
            "usr/share/man",
            "usr/share/locale/de",
            "etc/alternatives/a.1.gz",
        ] {
            assert!(!tree.contains(gone), "{gone}");
        }
    }

    #[test]
    fn caches_of_package_management_and_init_scripts_with_units_go() {
        let mut tree = testing::tree(&[
            ("var/cache/apt/pkgcache.bin", ""),
            ("var/cache/daemon/x", ""),
            ("etc/init.d/ssh", ""),
            ("etc/init.d/only-script", ""),
            ("usr/lib/systemd/system/ssh.service", ""),
        ]);
        run(&mut tree).unwrap();
        assert!(tree.contains("var/cache/daemon/x") && !tree.contains("var/cache/apt"));
        assert!(!tree.contains("etc/init.d/ssh") && tree.contains("etc/init.d/only-script"));
    }
}
