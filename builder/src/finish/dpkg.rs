//! The package database, below /usr, so that scanners see what is installed.
//!
//! Formats: dpkg(1) `status`, `arch-native`, `info/PACKAGE.list`, `.md5sums`, `.conffiles`. It is a record, not for changing packages:
//! the root is read-only. The list files name what is really in the image.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use md5::{Digest as _, Md5};

use super::{
    edit,
    error::FinishError,
    inputs::{Inputs, InstalledPackage},
    kernel,
};
use crate::tree::{Entry, Node, Tree, TreePath};

/// Where it is.
pub(super) const DATABASE: &str = "usr/lib/sysimage/dpkg";
/// Where scanners look for it, below /var: a link.
pub(super) const IN_VAR: &str = "lib/dpkg";

/// The text of `status`. Call it on the tree as composed: conffile hashes are those of the packages' own files.
///
/// # Errors
/// When a control paragraph doesn't begin with `Package`, or a conffile can't be read.
pub(super) fn status(tree: &Tree, inputs: &Inputs<'_>) -> Result<String, FinishError> {
    let mut status = String::new();
    for package in inputs.packages {
        status.push_str(&paragraph(tree, package)?);
        status.push('\n');
    }
    Ok(status)
}

/// The control paragraph with `Status` after `Package`, and `Conffiles` before the description.
fn paragraph(tree: &Tree, package: &InstalledPackage) -> Result<String, FinishError> {
    let malformed = |reason: &str| FinishError::Control {
        package: package.name.clone(),
        reason: reason.to_owned(),
    };
    let (first, rest) = package
        .control
        .trim_end()
        .split_once('\n')
        .ok_or_else(|| malformed("it has one line"))?;
    if !first.starts_with("Package:") {
        return Err(malformed("its first field isn't Package"));
    }
    let (before, description) = rest
        .split_once("\nDescription:")
        .map_or((rest, None), |(before, description)| (before, Some(description)));
    let mut text = format!("{first}\nStatus: install ok installed\n{before}\n");
    text.push_str(&conffiles(tree, package)?);
    if let Some(description) = description {
        writeln!(text, "Description:{description}").unwrap_or_default();
    }
    Ok(text)
}

/// The field `Conffiles`. Lines such as `remove-on-upgrade /etc/x` speak of upgrades only.
fn conffiles(tree: &Tree, package: &InstalledPackage) -> Result<String, FinishError> {
    let mut text = String::new();
    for path in package.conffiles.lines().filter(|line| line.starts_with('/')) {
        let found = edit::tree_path(path)?;
        if let Some(Entry {
            node: Node::File(content, _),
            ..
        }) = tree.get(found.as_str())
        {
            let bytes = content
                .read()
                .map_err(|source| FinishError::Read { path: found, source })?;
            writeln!(text, " {path} {}", hex::encode(Md5::digest(&bytes))).unwrap_or_default();
        }
    }
    Ok(if text.is_empty() {
        text
    } else {
        format!("Conffiles:\n{text}")
    })
}

/// Writes the database: `status` as [`status`] made it, and for every package the lists of what is in `tree` now.
///
/// # Errors
/// When a file is where a folder must be.
pub(super) fn run(tree: &mut Tree, inputs: &Inputs<'_>, status: &str) -> Result<(), FinishError> {
    edit::write_text(tree, &format!("{DATABASE}/status"), status)?;
    let native = format!("{}\n", inputs.architecture.debian());
    edit::write_text(tree, &format!("{DATABASE}/arch-native"), &native)?;
    for package in inputs.packages {
        for (suffix, text) in lists(tree, package) {
            let path = format!("{DATABASE}/info/{}.{suffix}", qualified(package));
            edit::write_text(tree, &path, &text)?;
        }
    }
    Ok(())
}

/// The base of a package's file names in `info`: with the architecture when several may be installed.
fn qualified(package: &InstalledPackage) -> String {
    let same = package
        .control
        .lines()
        .any(|line| line.trim_end() == "Multi-Arch: same");
    if same {
        format!("{}:{}", package.name, package.architecture)
    } else {
        package.name.clone()
    }
}

/// Under which path a package's file is in the tree: kernel modules have lost the suffix of their compression.
fn kept_as(tree: &Tree, path: &TreePath) -> Option<TreePath> {
    let plain = kernel::plain_path(path);
    if tree.contains(path.as_str()) {
        Some(path.clone())
    } else {
        (plain.as_str().ends_with(".ko") && tree.contains(plain.as_str())).then_some(plain)
    }
}

fn lists(tree: &Tree, package: &InstalledPackage) -> Vec<(&'static str, String)> {
    let kept: BTreeSet<TreePath> = package
        .files
        .iter()
        .filter_map(|path| kept_as(tree, path))
        .collect();
    let list: String = kept.iter().map(|path| format!("{path}\n")).collect();
    let known: BTreeMap<&str, &str> = package
        .md5sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, path)| (path, hash))
        .collect();
    let hashes: String = known
        .iter()
        .filter(|(path, _)| tree.contains(path))
        .map(|(path, hash)| format!("{hash}  {path}\n"))
        .collect();
    let mut lists = vec![("list", format!("/.\n{list}"))];
    if !hashes.is_empty() {
        lists.push(("md5sums", hashes));
    }
    if !package.conffiles.is_empty() {
        lists.push(("conffiles", package.conffiles.clone()));
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn package() -> InstalledPackage {
        InstalledPackage {
            name: "x".to_owned(),
            architecture: "amd64".to_owned(),
            control: "Package: x\nVersion: 1-1\nMulti-Arch: same\nDescription: short\n long\n".to_owned(),
            conffiles: "/etc/x.conf\nremove-on-upgrade /etc/old\n".to_owned(),
            md5sums: "0123  usr/bin/x\n4567  usr/share/man/x\n".to_owned(),
            files: ["etc/x.conf", "usr/bin/x", "usr/lib/m.ko.xz", "usr/share/man/x"]
                .map(|path| path.parse().unwrap())
                .into(),
            actions: Vec::new(),
        }
    }

    #[test]
    fn scanners_see_an_installed_package_with_the_hashes_of_its_conffiles_and_its_remaining_files() {
        let mut tree = testing::tree(&[
            ("etc/x.conf", "x"),
            ("usr/bin/x", ""),
            ("usr/lib/m.ko", "unpacked"),
        ]);
        let (packages, recipe) = ([package()], testing::recipe());
        let inputs = Inputs {
            packages: &packages,
            ..testing::inputs(&recipe)
        };
        let status = status(&tree, &inputs).unwrap();
        run(&mut tree, &inputs, &status).unwrap();
        assert_eq!(
            testing::text(&tree, "usr/lib/sysimage/dpkg/status"),
            "Package: x\nStatus: install ok installed\nVersion: 1-1\nMulti-Arch: same\nConffiles:\n \
             /etc/x.conf 9dd4e461268c8034f5c8564e155c67a6\nDescription: short\n long\n\n"
        );
        let info =
            |suffix: &str| testing::text(&tree, &format!("usr/lib/sysimage/dpkg/info/x:amd64.{suffix}"));
        assert_eq!(info("list"), "/.\n/etc/x.conf\n/usr/bin/x\n/usr/lib/m.ko\n");
        assert_eq!(info("md5sums"), "0123  usr/bin/x\n");
    }

    #[test]
    fn a_control_file_that_does_not_begin_with_its_package_is_refused() {
        let packages = [InstalledPackage {
            control: "Version: 1\nX: y\n".to_owned(),
            ..package()
        }];
        let recipe = testing::recipe();
        let inputs = Inputs {
            packages: &packages,
            ..testing::inputs(&recipe)
        };
        assert!(status(&Tree::new(), &inputs).is_err());
    }
}
