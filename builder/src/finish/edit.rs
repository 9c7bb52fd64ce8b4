//! Small, safe edits on a tree that every step uses.

use std::borrow::Cow;

use super::error::FinishError;
use crate::tree::{Entry, Node, Tree, TreePath};

/// Folders of the root that are links into /usr on every Debian since bookworm.
pub const USR_MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
/// Symbolic links followed before a path counts as a loop. Source: Linux `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;

/// The tree path of an absolute path as scripts and units write it, with /bin, /lib and so on led into /usr.
///
/// # Errors
/// When `text` isn't absolute or leads out of the image.
pub fn tree_path(text: &str) -> Result<TreePath, FinishError> {
    let inner = text
        .strip_prefix('/')
        .ok_or_else(|| FinishError::NotAbsolute(text.to_owned()))?;
    let inner = inner.trim_end_matches('/');
    let collapsed: Cow<'_, str> = if inner.contains("//") {
        let parts: Vec<&str> = inner.split('/').filter(|part| !part.is_empty()).collect();
        Cow::Owned(parts.join("/"))
    } else {
        Cow::Borrowed(inner)
    };
    let path = collapsed.parse().map_err(FinishError::Path)?;
    Ok(canonical(path))
}

/// `path` with /bin, /lib, /lib64 and /sbin led into /usr.
#[must_use]
pub fn canonical(path: TreePath) -> TreePath {
    let first = path.components().next().unwrap_or_default();
    if path.as_str() != first && USR_MERGED.contains(&first) {
        format!("usr/{}", path.as_str()).parse().unwrap_or(path)
    } else {
        path
    }
}

/// Where `path` leads when every symbolic link on the way, the last included, is followed inside the image.
/// None when something is missing on the way, or the links form a loop.
#[must_use]
pub fn resolve(tree: &Tree, path: &TreePath) -> Option<TreePath> {
    let mut todo: Vec<String> = reversed(path.as_str());
    let mut done = TreePath::root();
    let mut links = 0;
    while let Some(component) = todo.pop() {
        if component == ".." {
            done = done.parent().unwrap_or_else(TreePath::root);
            continue;
        }
        let next = done.join(&component).ok()?;
        if let Node::Symlink(target) = &tree.get(next.as_str())?.node {
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            if target.starts_with('/') {
                done = TreePath::root();
            }
            todo.extend(reversed(target));
        } else {
            done = next;
        }
    }
    Some(done)
}

/// `path` with the links of its folder followed: where a program that writes there would put it.
#[must_use]
pub fn through_links(tree: &Tree, path: TreePath) -> TreePath {
    let real = path.parent().and_then(|parent| resolve(tree, &parent));
    let joined = real
        .zip(path.file_name())
        .and_then(|(folder, name)| folder.join(name).ok());
    joined.unwrap_or(path)
}

fn reversed(path: &str) -> Vec<String> {
    path.split('/')
        .rev()
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
        .collect()
}

/// The text of the regular file at `path` (links followed); none when nothing is there.
///
/// # Errors
/// When the content can't be read, or isn't UTF-8.
pub fn read_text(tree: &Tree, path: &TreePath) -> Result<Option<String>, FinishError> {
    let Some(found) = resolve(tree, path) else {
        return Ok(None);
    };
    let Some(Entry {
        node: Node::File(content, _),
        ..
    }) = tree.get(found.as_str())
    else {
        return Ok(None);
    };
    let bytes = content.read().map_err(|source| FinishError::Read {
        path: found.clone(),
        source,
    })?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| FinishError::NotText(found))
}

/// Puts a file of root, 0644, with `text` at `path`; replaces what is there, and makes parents.
///
/// # Errors
/// When a folder is in the way.
pub fn write_text(tree: &mut Tree, path: &str, text: &str) -> Result<(), FinishError> {
    put(tree, path, Entry::file(0o644, text))
}

/// Like [`write_text`], unless something is already there.
///
/// # Errors
/// When a parent is no folder.
pub fn write_text_if_missing(tree: &mut Tree, path: &str, text: &str) -> Result<(), FinishError> {
    if tree.contains(path) {
        Ok(())
    } else {
        write_text(tree, path, text)
    }
}

/// Puts a symbolic link at `path`; replaces a file or link that is there, and makes parents.
///
/// # Errors
/// When a folder is in the way.
pub fn link(tree: &mut Tree, path: &str, target: &str) -> Result<(), FinishError> {
    put(tree, path, Entry::symlink(target))
}

/// Puts a folder of root at `path` unless one is there, and makes parents.
///
/// # Errors
/// When a file is in the way.
pub fn ensure_directory(tree: &mut Tree, path: &str, mode: u16) -> Result<(), FinishError> {
    if tree.get(path).is_some_and(Entry::is_directory) {
        Ok(())
    } else {
        put(tree, path, Entry::directory(mode))
    }
}

/// Puts `entry` at `path`, and makes parents.
///
/// # Errors
/// When `path` is no legal path, or what is there is of another kind.
pub fn put(tree: &mut Tree, path: &str, entry: Entry) -> Result<(), FinishError> {
    let path: TreePath = path.parse().map_err(FinishError::Path)?;
    tree.insert_all(path, entry).map_err(FinishError::Tree)
}

/// Removes `path` and what is below it, if it exists.
///
/// # Errors
/// When `path` is no legal path.
pub fn remove(tree: &mut Tree, path: &str) -> Result<(), FinishError> {
    tree.remove(&path.parse().map_err(FinishError::Path)?);
    Ok(())
}

/// The names in `folder` that end with `suffix`, by bytes; files and links only.
#[must_use]
pub fn names_in(tree: &Tree, folder: &str, suffix: &str) -> Vec<String> {
    let Ok(folder) = folder.parse::<TreePath>() else {
        return Vec::new();
    };
    tree.children(&folder)
        .filter(|(_, entry)| !entry.is_directory())
        .filter_map(|(path, _)| path.file_name())
        .filter(|name| name.ends_with(suffix))
        .map(str::to_owned)
        .collect()
}

/// The files of a drop-in directory set (sysusers.d, tmpfiles.d, presets): by file name over all `folders`; a name in an
/// earlier folder hides the same name in a later one. Links to /dev/null, which switch a file off, are left out.
#[must_use]
pub fn drop_ins(tree: &Tree, folders: &[&str], suffix: &str) -> Vec<TreePath> {
    let mut found = std::collections::BTreeMap::new();
    for folder in folders {
        for name in names_in(tree, folder, suffix) {
            let path = format!("{folder}/{name}");
            found.entry(name).or_insert(path);
        }
    }
    let paths = found
        .into_values()
        .filter_map(|path| path.parse::<TreePath>().ok());
    paths.filter(|path| resolve(tree, path).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let mut tree = Tree::new();
        write_text(&mut tree, "usr/bin/mawk", "x").unwrap();
        link(&mut tree, "bin", "usr/bin").unwrap();
        link(&mut tree, "etc/alternatives/awk", "/bin/mawk").unwrap();
        link(&mut tree, "usr/bin/awk", "../../etc/alternatives/awk").unwrap();
        link(&mut tree, "loop", "loop").unwrap();
        link(&mut tree, "out", "../../../usr").unwrap();
        tree
    }

    #[test]
    fn links_are_followed_inside_the_image_and_never_out_of_it() {
        let tree = sample();
        let resolved = |text: &str| resolve(&tree, &text.parse().unwrap()).map(|path| path.to_string());
        assert_eq!(resolved("bin/awk").as_deref(), Some("/usr/bin/mawk"));
        assert_eq!(resolved("out/bin").as_deref(), Some("/usr/bin"));
        assert_eq!(resolved("loop"), None);
        assert_eq!(resolved("etc/nothing"), None);
    }

    #[test]
    fn absolute_paths_of_scripts_are_led_into_usr() {
        assert_eq!(tree_path("/bin/ping").unwrap().as_str(), "usr/bin/ping");
        assert_eq!(tree_path("/lib64").unwrap().as_str(), "lib64");
        assert_eq!(tree_path("//etc//x/").unwrap().as_str(), "etc/x");
        assert!(tree_path("etc/x").is_err() && tree_path("/etc/../../x").is_err());
    }
}
