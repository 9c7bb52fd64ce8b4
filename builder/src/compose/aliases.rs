//! The merged `/usr`: top-level folders that are links.
//!
//! Debian's base-files ships `/bin -> usr/bin` and the like, other packages still ship `./lib/...`; unpacked
//! literally, a stray `./lib` folder would take the link's place and nothing would boot. So paths are made canonical
//! here, for every package, and the link is in every image that needs it.

use std::collections::BTreeSet;

use super::ComposeError;
use crate::tree::{Entry, Node, Tree, TreePath};

/// Top-level names that are links to the same name below `usr`. Source: the UsrMerge plan of Debian and
/// `base-files`; `lib32`, `libo32` and `libx32` are those of other ABIs.
pub const ALIASES: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// The alias that `path` is or lies below.
pub(super) fn alias_of(path: &TreePath) -> Option<&'static str> {
    let first = path.components().next()?;
    ALIASES.into_iter().find(|alias| *alias == first)
}

/// Where `path` lies in an image: `lib/x` is `usr/lib/x`; an alias itself is its folder in `usr`.
#[must_use]
pub fn canonical(path: &TreePath) -> TreePath {
    match alias_of(path) {
        // four bytes longer than a legal path at the most: an over-long one stays as it is and is no alias
        Some(_) => format!("usr/{}", path.as_str())
            .parse()
            .unwrap_or_else(|_| path.clone()),
        None => path.clone(),
    }
}

/// Whether a link at the alias `name` says what the image's says.
pub(super) fn is_alias_link(name: &str, target: &str) -> bool {
    let target = target.trim_end_matches('/');
    let relative = target.strip_prefix('/').unwrap_or(target);
    relative.strip_prefix("usr/") == Some(name)
}

/// Makes the links that packages need but none ships, and the folders that links lead to.
pub(super) fn add(tree: &mut Tree, used: &BTreeSet<&'static str>) -> Result<(), ComposeError> {
    for alias in ALIASES {
        let path: TreePath = match alias.parse() {
            Ok(path) => path,
            Err(_) => continue, // the names above are plain
        };
        let folder = canonical(&path);
        let shipped = tree.contains(alias);
        if !shipped && !used.contains(alias) {
            continue;
        }
        if !tree.contains(folder.as_str()) {
            tree.insert_all(folder, Entry::directory(0o755))
                .map_err(|source| ComposeError::Tree { source })?;
        }
        let mut link = Entry::symlink(&format!("usr/{alias}"));
        if let Some(shipped) = tree.get(alias) {
            link.metadata = shipped.metadata.clone();
        }
        debug_assert!(matches!(link.node, Node::Symlink(_)));
        tree.insert(path, link)
            .map_err(|source| ComposeError::Tree { source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_top_level_names_are_aliases() {
        let canonical = |text: &str| canonical(&text.parse().unwrap()).as_str().to_owned();
        assert_eq!(canonical("lib"), "usr/lib");
        assert_eq!(canonical("lib64/ld.so"), "usr/lib64/ld.so");
        for same in ["usr/lib/x", "library/x", "lib.d", "etc/bin", ""] {
            assert_eq!(canonical(same), same);
        }
    }

    #[test]
    fn a_link_is_an_alias_only_when_it_leads_to_its_own_folder_in_usr() {
        assert!(is_alias_link("bin", "usr/bin") && is_alias_link("bin", "/usr/bin/"));
        for other in ["usr/sbin", "bin", "usr/bin/x", "../usr/bin", "/bin", ""] {
            assert!(!is_alias_link("bin", other), "{other}");
        }
    }
}
