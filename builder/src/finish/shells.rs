//! /etc/shells: what debianutils' `update-shells` makes from its template, the packages' files and `add-shell`.

use std::collections::BTreeSet;

use super::{edit, error::FinishError, inputs::InstalledPackage};
use crate::{
    action::Action,
    tree::{Tree, TreePath},
};

/// Template and folder of package files, both with one shell a line and `#` comments.
const TEMPLATE: &str = "usr/share/debianutils/shells";
const PACKAGES: &str = "usr/share/debianutils/shells.d";

/// Writes /etc/shells with every listed shell, sorted, that exists in the image.
///
/// # Errors
/// When a list can't be read.
pub(super) fn run(tree: &mut Tree, packages: &[InstalledPackage]) -> Result<(), FinishError> {
    let mut shells = BTreeSet::new();
    for path in lists(tree) {
        let text = edit::read_text(tree, &path)?.unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| line.split('#').next())
            .map(str::trim);
        for shell in lines.filter(|line| line.starts_with('/')) {
            shells.extend(real_path(tree, shell)?);
            shells.insert(shell.to_owned());
        }
    }
    for action in packages.iter().flat_map(|package| &package.actions) {
        if let Action::Shell { path } = action {
            shells.insert(path.clone());
        }
    }
    let mut text = "# /etc/shells: valid login shells\n".to_owned();
    for shell in shells {
        if edit::resolve(tree, &edit::tree_path(&shell)?).is_some() {
            text.push_str(&shell);
            text.push('\n');
        }
    }
    edit::write_text(tree, "etc/shells", &text)
}

/// The shell's path with the links of its folder followed: `/usr/bin/sh` for `/bin/sh`. `update-shells` adds it too.
fn real_path(tree: &Tree, shell: &str) -> Result<Option<String>, FinishError> {
    let Some((folder, name)) = shell.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) else {
        return Ok(None);
    };
    let real = edit::resolve(tree, &edit::tree_path(folder)?);
    Ok(real.map(|real| format!("/{}/{name}", real.as_str())))
}

fn lists(tree: &Tree) -> Vec<TreePath> {
    let own = edit::names_in(tree, PACKAGES, "")
        .into_iter()
        .map(|name| format!("{PACKAGES}/{name}"));
    std::iter::once(TEMPLATE.to_owned())
        .chain(own)
        .filter_map(|path| path.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    #[test]
    fn shells_of_all_sources_are_listed_when_they_exist() {
        let mut tree = testing::tree(&[
            (TEMPLATE, "# comment\n/bin/sh\n"),
            (
                "usr/share/debianutils/shells.d/bash",
                "/bin/bash\n/bin/rbash # restricted\n",
            ),
            ("usr/bin/sh", ""),
            ("usr/bin/bash", ""),
            ("usr/bin/zsh", ""),
        ]);
        edit::link(&mut tree, "bin", "usr/bin").unwrap();
        let shell = Action::Shell {
            path: "/usr/bin/zsh".to_owned(),
        };
        run(&mut tree, &[testing::package("zsh", vec![shell])]).unwrap();
        let expected = "# /etc/shells: valid login shells\n/bin/bash\n/bin/sh\n/usr/bin/bash\n/usr/bin/sh\n/usr/bin/zsh\n";
        assert_eq!(testing::text(&tree, "etc/shells"), expected);
    }
}
