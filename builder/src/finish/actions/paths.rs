//! `mkdir`, `ln -s`, `cp`, `rm` and files that scripts write.

use super::ownership;
use crate::{
    action::Action,
    finish::{
        accounts::Accounts,
        edit,
        error::{ActionError, FinishError},
    },
    tree::{Entry, Node, Tree},
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
            let entry = copied(tree, package, from, mode)?;
            put(tree, to, entry)
        }
        Action::Remove { path } => {
            tree.remove(&edit::tree_path(path)?);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn copied(tree: &Tree, package: &str, from: &str, mode: &str) -> Result<Entry, FinishError> {
    let found = ownership::existing(tree, package, from)?;
    match tree.get(found.as_str()).map(|entry| &entry.node) {
        Some(Node::File(content, _)) => Ok(Entry::file(ownership::octal(package, mode)?, content.clone())),
        _ => Err(ActionError::NotFile {
            package: package.to_owned(),
            path: from.to_owned(),
        }
        .into()),
    }
}

fn put(tree: &mut Tree, path: &str, entry: Entry) -> Result<(), FinishError> {
    let path = edit::tree_path(path)?;
    let volatile = ["run", "var/run", "var/lock"];
    if volatile
        .iter()
        .any(|folder| path.as_str().starts_with(&format!("{folder}/")))
    {
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
            mode: own("600"),
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
            mode: "644".into(),
        };
        assert!(matches!(
            done(&mut tree, &copy),
            Err(FinishError::Action(ActionError::NoPath { .. }))
        ));
    }
}
