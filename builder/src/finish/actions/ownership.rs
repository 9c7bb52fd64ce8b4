//! `chown`, `chmod`, `dpkg-statoverride`.

use super::{capabilities, paths};
use crate::{
    action::Action,
    finish::{
        accounts::Accounts,
        edit,
        error::{ActionError, FinishError},
    },
    tree::{Metadata, Node, Tree, TreePath},
};

const SETUID: u16 = 0o4000;
const SETGID: u16 = 0o2000;
const GROUP_EXECUTES: u16 = 0o0010;

/// Carries out [`Action::Own`]; other actions do nothing here, nor do paths that are gone after the next boot.
pub(super) fn apply(
    tree: &mut Tree,
    accounts: &Accounts,
    package: &str,
    action: &Action,
) -> Result<(), FinishError> {
    let Action::Own {
        path,
        user,
        group,
        mode,
    } = action
    else {
        return Ok(());
    };
    if paths::is_volatile(&edit::tree_path(path)?) {
        return Ok(());
    }
    let found = existing(tree, package, path)?;
    let is_file = matches!(
        tree.get(found.as_str()).map(|entry| &entry.node),
        Some(Node::File(..))
    );
    let owner_changes = is_file && (user.is_some() || group.is_some());
    let uid = user
        .as_deref()
        .map(|user| uid(accounts, package, user))
        .transpose()?;
    let gid = group
        .as_deref()
        .map(|group| gid(accounts, package, group))
        .transpose()?;
    let bits = mode.as_deref().map(|mode| octal(package, mode)).transpose()?;
    change(tree, &found, |metadata| {
        metadata.uid = uid.unwrap_or(metadata.uid);
        metadata.gid = gid.unwrap_or(metadata.gid);
        if owner_changes {
            // Linux, fs/attr.c: a new owner of a file takes away what the old one could do with it.
            let setgid = if metadata.mode & GROUP_EXECUTES == 0 {
                0
            } else {
                SETGID
            };
            metadata.mode &= !(SETUID | setgid);
            metadata.xattrs.remove(capabilities::ATTRIBUTE);
        }
        metadata.mode = bits.unwrap_or(metadata.mode);
    });
    Ok(())
}

/// The tree path that an action's path leads to.
pub(super) fn existing(tree: &Tree, package: &str, path: &str) -> Result<TreePath, FinishError> {
    let missing = || ActionError::NoPath {
        package: package.to_owned(),
        path: path.to_owned(),
    };
    Ok(edit::resolve(tree, &edit::tree_path(path)?).ok_or_else(missing)?)
}

/// The numbers of `user` and `group`.
pub(super) fn owner(
    accounts: &Accounts,
    package: &str,
    user: &str,
    group: &str,
) -> Result<(u32, u32), ActionError> {
    Ok((uid(accounts, package, user)?, gid(accounts, package, group)?))
}

fn uid(accounts: &Accounts, package: &str, user: &str) -> Result<u32, ActionError> {
    let found = accounts.user(user).ok_or_else(|| ActionError::NoUser {
        package: package.to_owned(),
        name: user.to_owned(),
    })?;
    Ok(found.uid)
}

fn gid(accounts: &Accounts, package: &str, group: &str) -> Result<u32, ActionError> {
    let found = accounts.group(group).ok_or_else(|| ActionError::NoGroup {
        package: package.to_owned(),
        name: group.to_owned(),
    })?;
    Ok(found.gid)
}

/// Permission bits from octal text.
pub(super) fn octal(package: &str, mode: &str) -> Result<u16, ActionError> {
    u16::from_str_radix(mode, 8)
        .ok()
        .filter(|bits| *bits <= 0o7777)
        .ok_or_else(|| ActionError::Mode {
            package: package.to_owned(),
            mode: mode.to_owned(),
        })
}

/// Changes the metadata at `path`, and at every other name of the same inode.
pub(super) fn change(tree: &mut Tree, path: &TreePath, change: impl Fn(&mut Metadata)) {
    let group = match tree.get(path.as_str()).map(|entry| &entry.node) {
        Some(Node::File(_, Some(group))) => Some(*group),
        _ => None,
    };
    let same_inode = |node: &Node| matches!(node, Node::File(_, Some(other)) if Some(*other) == group);
    let mut names = vec![path.clone()];
    if group.is_some() {
        names = tree
            .iter()
            .filter(|(_, entry)| same_inode(&entry.node))
            .map(|(name, _)| name.clone())
            .collect();
    }
    for name in &names {
        if let Some(metadata) = tree.metadata_mut(name.as_str()) {
            change(metadata);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finish::testing,
        tree::{Content, Entry, LinkGroup},
    };

    fn own(path: &str, user: &str, mode: Option<&str>) -> Action {
        let (user, group) = (Some(user.to_owned()), Some("shadow".to_owned()));
        Action::Own {
            path: path.to_owned(),
            user,
            group,
            mode: mode.map(str::to_owned),
        }
    }

    fn accounts() -> Accounts {
        Accounts::from_masters("root:*:0:0:root:/root:/bin/bash", "shadow:*:42:").unwrap()
    }

    #[test]
    fn owner_and_setuid_bits_reach_every_name_of_a_hard_linked_file() {
        let mut tree = testing::tree(&[("usr/lib/other", "x")]);
        for name in ["usr/bin/a", "usr/bin/b"] {
            let mut entry = Entry::file(0o755, "x");
            entry.node = Node::File(Content::from("x"), Some(LinkGroup(1)));
            edit::put(&mut tree, name, entry).unwrap();
        }
        apply(&mut tree, &accounts(), "p", &own("/bin/a", "root", Some("2755"))).unwrap();
        for name in ["usr/bin/a", "usr/bin/b"] {
            let metadata = &tree.get(name).unwrap().metadata;
            assert_eq!((metadata.gid, metadata.mode), (42, 0o2755));
        }
        assert_eq!(tree.get("usr/lib/other").unwrap().metadata.gid, 0);
    }

    #[test]
    fn a_missing_path_an_unknown_user_and_a_bad_mode_are_refused() {
        let mut tree = testing::tree(&[("usr/bin/a", "x")]);
        for action in [
            own("/usr/bin/b", "root", None),
            own("/usr/bin/a", "nobody", None),
            own("/usr/bin/a", "root", Some("99999")),
        ] {
            assert!(matches!(
                apply(&mut tree, &accounts(), "p", &action),
                Err(FinishError::Action(_))
            ));
        }
    }

    #[test]
    fn a_new_owner_of_a_file_takes_its_privileges_away_and_paths_of_a_boot_are_left_out() {
        let mut tree = testing::tree(&[("usr/bin/a", "x")]);
        let metadata = tree.metadata_mut("usr/bin/a").unwrap();
        metadata.mode = 0o6755;
        metadata
            .xattrs
            .insert(capabilities::ATTRIBUTE.to_owned(), Vec::new());
        for action in [own("/usr/bin/a", "root", None), own("/run/a", "root", None)] {
            apply(&mut tree, &accounts(), "p", &action).unwrap();
        }
        let metadata = &tree.get("usr/bin/a").unwrap().metadata;
        assert_eq!((metadata.mode, metadata.xattrs.len()), (0o755, 0));
    }
}
