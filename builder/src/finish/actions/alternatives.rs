//! `update-alternatives --install`: a generic path leads through /etc/alternatives to the best candidate.

use std::collections::BTreeMap;

use super::ownership;
use crate::{
    action::{Action, AlternativeSlave},
    finish::{edit, error::FinishError, inputs::InstalledPackage},
    tree::{Node, Tree},
};

struct Candidate<'a> {
    package: &'a str,
    link: &'a str,
    path: &'a str,
    priority: i32,
    slaves: &'a [AlternativeSlave],
}

/// Makes the links of every alternative's best candidate: the highest priority; among equals the first by package name.
pub(super) fn apply(tree: &mut Tree, packages: &[InstalledPackage]) -> Result<(), FinishError> {
    for (name, candidate) in best(packages) {
        ownership::existing(tree, candidate.package, candidate.path)?;
        make(tree, name, candidate.link, candidate.path)?;
        for slave in candidate.slaves {
            if edit::resolve(tree, &edit::tree_path(&slave.path)?).is_some() {
                make(tree, &slave.name, &slave.link, &slave.path)?;
            }
        }
    }
    Ok(())
}

fn best(packages: &[InstalledPackage]) -> BTreeMap<&str, Candidate<'_>> {
    let mut best: BTreeMap<&str, Candidate<'_>> = BTreeMap::new();
    for package in packages {
        for action in &package.actions {
            let Action::Alternative {
                name,
                link,
                path,
                priority,
                slaves,
            } = action
            else {
                continue;
            };
            let candidate = Candidate {
                package: &package.name,
                link,
                path,
                priority: *priority,
                slaves,
            };
            if best
                .get(name.as_str())
                .is_none_or(|current| current.priority < *priority)
            {
                best.insert(name, candidate);
            }
        }
    }
    best
}

/// `link` -> /etc/alternatives/`name` -> `path`. A real file of a package at `link` stays, as with the original.
fn make(tree: &mut Tree, name: &str, link: &str, path: &str) -> Result<(), FinishError> {
    let link = edit::tree_path(link)?;
    if matches!(
        tree.get(link.as_str()).map(|entry| &entry.node),
        Some(Node::File(..) | Node::Directory)
    ) {
        return Ok(());
    }
    edit::link(tree, &format!("etc/alternatives/{name}"), path)?;
    edit::link(tree, link.as_str(), &format!("/etc/alternatives/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn alternative(path: &str, priority: i32, slave: Option<&str>) -> Action {
        let slaves = slave.map(|path| AlternativeSlave {
            name: "nawk".to_owned(),
            link: "/usr/bin/nawk".to_owned(),
            path: path.to_owned(),
        });
        Action::Alternative {
            name: "awk".to_owned(),
            link: "/usr/bin/awk".to_owned(),
            path: path.to_owned(),
            priority,
            slaves: slaves.into_iter().collect(),
        }
    }

    #[test]
    fn the_highest_priority_wins_and_its_slaves_follow() {
        let mut tree = testing::tree(&[("usr/bin/mawk", "m"), ("usr/bin/gawk", "g")]);
        let packages = [
            testing::package("mawk", vec![alternative("/usr/bin/mawk", 5, None)]),
            testing::package(
                "gawk",
                vec![alternative("/usr/bin/gawk", 10, Some("/usr/bin/gawk"))],
            ),
        ];
        apply(&mut tree, &packages).unwrap();
        assert_eq!(
            (
                testing::text(&tree, "usr/bin/awk"),
                testing::text(&tree, "usr/bin/nawk")
            ),
            ("g".into(), "g".into())
        );
    }

    #[test]
    fn a_slave_that_is_not_installed_is_left_out_and_a_real_file_stays() {
        let mut tree = testing::tree(&[("usr/bin/mawk", "m"), ("usr/bin/awk", "real")]);
        let action = alternative("/usr/bin/mawk", 5, Some("/usr/share/none"));
        apply(&mut tree, &[testing::package("mawk", vec![action])]).unwrap();
        assert_eq!(testing::text(&tree, "usr/bin/awk"), "real");
        assert!(!tree.contains("usr/bin/nawk"));
    }

    #[test]
    fn a_candidate_that_does_not_exist_is_refused() {
        let packages = [testing::package(
            "mawk",
            vec![alternative("/usr/bin/mawk", 5, None)],
        )];
        assert!(apply(&mut Tree::new(), &packages).is_err());
    }
}
