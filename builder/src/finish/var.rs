//! /var: what packages ship there is made on the device by tmpfiles.d(5), from copies below /usr.
//!
//! /var is the data partition, which a release neither contains nor replaces. In the root file system it is a mount
//! point with nothing in it but the way to the package database, for scanners that look at an image without starting
//! it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{accounts::Accounts, dpkg, edit, error::FinishError, tmpfiles};
use crate::tree::{Entry, Metadata, Node, Tree, TreePath};

/// Where systemd looks for what `C` copies when the line gives no source.
const FACTORY: &str = "usr/share/factory";
const LINES: &str = "usr/lib/tmpfiles.d/outcrop-var.conf";

/// Moves the content of /var.
///
/// # Errors
/// When a package's tmpfiles.d can't be read.
pub(super) fn run(tree: &mut Tree, accounts: &Accounts) -> Result<(), FinishError> {
    let var: TreePath = "var".parse().map_err(FinishError::Path)?;
    let spoken_for = paths_in_tmpfiles(tree)?;
    let names = Names::of(accounts);
    let content: Vec<(TreePath, Entry)> = tree
        .below(&var)
        .map(|(path, entry)| (path.clone(), entry.clone()))
        .collect();
    let database = format!("var/{}", dpkg::IN_VAR);
    let mut lines = "# Made from what packages ship in /var.\n".to_owned();
    for (path, entry) in &content {
        if spoken_for.contains(path.as_str()) || path.as_str() == database {
            continue;
        }
        if let Node::File(..) = entry.node {
            edit::put(tree, &format!("{FACTORY}/{}", path.as_str()), entry.clone())?;
        }
        writeln!(lines, "{}", line(path, entry, &names)).unwrap_or_default();
    }
    tree.remove(&var);
    edit::put(tree, "var", Entry::directory(0o755))?;
    let to_database = format!("../../{}", dpkg::DATABASE);
    edit::link(tree, &database, &to_database)?;
    writeln!(lines, "L+ /{database} - - - - {to_database}").unwrap_or_default();
    edit::write_text(tree, LINES, &lines)
}

/// One line that makes `entry` on the device. Existing files are never replaced: they are the device's.
fn line(path: &TreePath, entry: &Entry, names: &Names<'_>) -> String {
    let text = escaped(&format!("/{}", path.as_str()));
    let Metadata { mode, uid, gid, .. } = &entry.metadata;
    let (user, group) = (names.user(*uid), names.group(*gid));
    match &entry.node {
        Node::Directory => format!("d {text} {mode:04o} {user} {group} -"),
        Node::Symlink(target) => format!("L {text} - - - - {}", escaped(target)),
        Node::File(..) => format!("C {text} {mode:04o} {user} {group} - /{FACTORY}{text}"),
    }
}

/// Specifiers and spaces as tmpfiles.d(5) wants them.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "%%")
        .replace(' ', "\\x20")
        .replace('\t', "\\x09")
}

/// Names of numeric owners.
struct Names<'a> {
    users: BTreeMap<u32, &'a str>,
    groups: BTreeMap<u32, &'a str>,
}

impl<'a> Names<'a> {
    fn of(accounts: &'a Accounts) -> Self {
        Self {
            users: accounts
                .users()
                .iter()
                .map(|user| (user.uid, user.name.as_str()))
                .collect(),
            groups: accounts
                .groups()
                .iter()
                .map(|group| (group.gid, group.name.as_str()))
                .collect(),
        }
    }

    fn user(&self, uid: u32) -> String {
        self.users
            .get(&uid)
            .map_or_else(|| uid.to_string(), |name| (*name).to_owned())
    }

    fn group(&self, gid: u32) -> String {
        self.groups
            .get(&gid)
            .map_or_else(|| gid.to_string(), |name| (*name).to_owned())
    }
}

/// Paths (without leading slash) that packages' and layers' tmpfiles.d make already: a second line for a path would be
/// ignored with a warning at every boot.
fn paths_in_tmpfiles(tree: &Tree) -> Result<BTreeSet<String>, FinishError> {
    let mut found = BTreeSet::new();
    for path in edit::drop_ins(tree, &tmpfiles::FOLDERS, ".conf") {
        let text = edit::read_text(tree, &path)?.unwrap_or_default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let makes = words
                .next()
                .is_some_and(|kind| kind.starts_with(['d', 'D', 'f', 'L', 'C', 'q', 'Q', 'v']));
            if let Some(path) = words.next().filter(|_| makes) {
                found.insert(path.trim_matches(['/', '"']).to_owned());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn accounts() -> Accounts {
        Accounts::from_masters(
            "root:*:0:0:root:/root:/bin/bash\nman:*:6:12::/:/x",
            "root:*:0:\nman:*:12:",
        )
        .unwrap()
    }

    #[test]
    fn content_becomes_lines_with_copies_and_var_is_empty_but_for_the_package_database() {
        let mut tree = testing::tree(&[
            ("var/lib/x/state file", "s"),
            ("usr/lib/tmpfiles.d/var.conf", "d /var/log 0755 - - -\n"),
        ]);
        edit::ensure_directory(&mut tree, "var/log", 0o755).unwrap();
        edit::link(&mut tree, "var/run", "../run").unwrap();
        edit::ensure_directory(&mut tree, "var/lib/dpkg", 0o755).unwrap();
        let mut folder = Entry::directory(0o2775);
        (folder.metadata.uid, folder.metadata.gid) = (6, 12);
        edit::put(&mut tree, "var/mail", folder).unwrap();
        run(&mut tree, &accounts()).unwrap();
        assert_eq!(
            testing::text(&tree, LINES),
            "# Made from what packages ship in /var.\nd /var/lib 0755 root root -\nd /var/lib/x 0755 root root -\n\
             C /var/lib/x/state\\x20file 0644 root root - /usr/share/factory/var/lib/x/state\\x20file\n\
             d /var/mail 2775 man man -\nL /var/run - - - - ../run\n\
             L+ /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg\n"
        );
        assert_eq!(
            testing::text(&tree, "usr/share/factory/var/lib/x/state file"),
            "s"
        );
        let left: Vec<&str> = tree
            .below(&"var".parse().unwrap())
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(left, ["var/lib", "var/lib/dpkg"]);
    }
}
