//! `mkdir`, `ln -s`, `cp`, `rm` and files that scripts write.

use super::ownership;
use crate::{
    action::Action,
    finish::{
        accounts::Accounts,
        edit,
        error::{ActionError, FinishError},
    },
    tree::{Entry, Node, Tree, TreePath},
};

/// Carries out the actions that make or remove paths; others do nothing here. What a script makes below /run is gone
/// after the next boot anyway, so it isn't made.
pub(super) fn apply(
    tree: &mut Tree,
    accounts: &Accounts,
    package: &str,
    action: &Action,
) -> Result<(), FinishError> {
    match action {
        Action::Directory {
            path,
            mode,
            user,
            group,
        } => {
            let found = edit::resolve(tree, &edit::tree_path(path)?);
            if found.is_some_and(|found| tree.get(found.as_str()).is_some_and(Entry::is_directory)) {
                return Ok(());
            }
            let mut entry = Entry::directory(ownership::octal(package, mode)?);
            let (uid, gid) = ownership::owner(accounts, package, user, group)?;
            (entry.metadata.uid, entry.metadata.gid) = (uid, gid);
            put(tree, path, entry)
        }
        Action::Symlink { path, target } => put(tree, path, Entry::symlink(target)),
        Action::File { path, mode, content } => put(
            tree,
            path,
            Entry::file(ownership::octal(package, mode)?, content.as_str()),
        ),
        Action::Copy { from, to, mode } => {
            let entry = copied(tree, package, from, mode.as_deref())?;
            put(tree, to, entry)
        }
        Action::Remove { path } => {
            tree.remove(&edit::tree_path(path)?);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn copied(tree: &Tree, package: &str, from: &str, mode: Option<&str>) -> Result<Entry, FinishError> {
    let found = ownership::existing(tree, package, from)?;
    match tree.get(found.as_str()) {
        Some(Entry {
            node: Node::File(content, _),
            metadata,
        }) => {
            let bits = mode.map(|mode| ownership::octal(package, mode)).transpose()?;
            Ok(Entry::file(bits.unwrap_or(metadata.mode), content.clone()))
        }
        _ => Err(ActionError::NotFile {
            package: package.to_owned(),
            path: from.to_owned(),
        }
        .into()),
    }
}

/// Whether `path` is on a file system that starts empty at each boot.
pub(super) fn is_volatile(path: &TreePath) -> bool {
    ["dev", "proc", "run", "sys", "tmp", "var/lock", "var/run"]
        .iter()
        .any(|folder| path.as_str().starts_with(&format!("{folder}/")))
}

fn put(tree: &mut Tree, path: &str, entry: Entry) -> Result<(), FinishError> {
    let path = edit::tree_path(path)?;
    if is_volatile(&path) {
        return Ok(());
    }
    tree.insert_all(edit::through_links(tree, path), entry)
        .map_err(FinishError::Tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn accounts() -> Accounts {
        Accounts::from_masters(
            "root:*:0:0:root:/root:/bin/bash\na:*:7:7::/:/x",
            "root:*:0:\na:*:7:",
        )
        .unwrap()
    }

    fn done(tree: &mut Tree, action: &Action) -> Result<(), FinishError> {
        apply(tree, &accounts(), "p", action)
    }

    #[test]
    fn paths_are_made_copied_and_removed() {
        let mut tree = testing::tree(&[("usr/share/x/default", "text"), ("usr/share/y/z", "")]);
        let own = |text: &str| text.to_owned();
        let directory = Action::Directory {
            path: own("/var/lib/x"),
            mode: own("2775"),
            user: own("a"),
            group: own("a"),
        };
        let copy = Action::Copy {
            from: own("/usr/share/x/default"),
            to: own("/etc/x"),
            mode: Some(own("600")),
        };
        for action in [
            directory,
            copy,
            Action::Symlink {
                path: own("/etc/y"),
                target: own("x"),
            },
            Action::File {
                path: own("/run/x"),
                mode: own("644"),
                content: own("gone"),
            },
            Action::Remove {
                path: own("/usr/share/y"),
            },
        ] {
            done(&mut tree, &action).unwrap();
        }
        let folder = &tree.get("var/lib/x").unwrap().metadata;
        assert_eq!((folder.mode, folder.uid, folder.gid), (0o2775, 7, 7));
        assert_eq!(testing::text(&tree, "etc/y"), "text");
        assert!(!tree.contains("run/x") && !tree.contains("usr/share/y"));
    }

    #[test]
    fn a_file_lands_behind_a_link_and_copies_of_nothing_are_refused() {
        let mut tree = testing::tree(&[("usr/share/real/x", "")]);
        edit::link(&mut tree, "etc/linked", "/usr/share/real").unwrap();
        let file = Action::File {
            path: "/etc/linked/y".into(),
            mode: "644".into(),
            content: "y".into(),
        };
        done(&mut tree, &file).unwrap();
        assert!(tree.contains("usr/share/real/y"));
        let copy = Action::Copy {
            from: "/nothing".into(),
            to: "/etc/x".into(),
            mode: None,
        };
        assert!(matches!(
            done(&mut tree, &copy),
            Err(FinishError::Action(ActionError::NoPath { .. }))
        ));
    }

    #[test]
    fn a_folder_that_is_there_stays_as_it_is_and_a_copy_keeps_its_mode() {
        let mut tree = testing::tree(&[("usr/share/x/default", "text"), ("var/lib/x/y", "")]);
        tree.metadata_mut("usr/share/x/default").unwrap().mode = 0o640;
        tree.metadata_mut("var/lib/x").unwrap().mode = 0o700;
        let directory = Action::Directory {
            path: "/var/lib/x/".into(),
            mode: "755".into(),
            user: "a".into(),
            group: "a".into(),
        };
        let copy = Action::Copy {
            from: "/usr/share/x/default".into(),
            to: "/etc/x".into(),
            mode: None,
        };
        done(&mut tree, &directory).unwrap();
        done(&mut tree, &copy).unwrap();
        let folder = &tree.get("var/lib/x").unwrap().metadata;
        assert_eq!((folder.mode, folder.uid), (0o700, 0));
        assert_eq!(tree.get("etc/x").unwrap().metadata.mode, 0o640);
    }
}
