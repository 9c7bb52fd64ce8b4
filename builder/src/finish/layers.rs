//! Folders and files laid over the packages: Outcrop's own, then the recipe's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use include_dir::{Dir, DirEntry};

use super::{edit, error::FinishError};
use crate::{
    recipe::schema::{FileContent, FileSpec, Recipe},
    tree::{Entry, Node, Tree, TreePath},
};

/// Files to lay over a tree, with where they come from for error messages.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// `images/base`, `overlay /home/x/files`, `[[files]]`.
    pub origin: String,
    /// What goes where; folders need not be listed.
    pub entries: Vec<(TreePath, Entry)>,
}

impl Layer {
    /// The layer of a folder that was compiled into the program. Such a folder has no permissions: a file is executable
    /// when it starts with `#!`.
    ///
    /// # Errors
    /// When a name isn't a legal path of an image.
    pub fn embedded(origin: &str, folder: &Dir<'_>) -> Result<Self, FinishError> {
        let mut layer = Self {
            origin: origin.to_owned(),
            entries: Vec::new(),
        };
        layer.add_embedded(folder)?;
        Ok(layer)
    }

    fn add_embedded(&mut self, folder: &Dir<'_>) -> Result<(), FinishError> {
        for entry in folder.entries() {
            match entry {
                DirEntry::Dir(folder) => self.add_embedded(folder)?,
                DirEntry::File(file) => {
                    let mode = if file.contents().starts_with(b"#!") {
                        0o755
                    } else {
                        0o644
                    };
                    let path = host_name(file.path())?;
                    self.entries
                        .push((path, Entry::file(mode, file.contents().to_vec())));
                }
            }
        }
        Ok(())
    }

    /// The layer of a folder on the build machine. Owners are root; a file is 0755 when its owner may execute it and
    /// 0644 otherwise, so that the build machine's umask doesn't matter.
    ///
    /// # Errors
    /// When the folder can't be read, or holds a device node, a socket or a pipe.
    pub fn from_host(folder: &Path) -> Result<Self, FinishError> {
        let mut layer = Self {
            origin: format!("overlay {}", folder.display()),
            entries: Vec::new(),
        };
        layer.add_host(folder, folder)?;
        Ok(layer)
    }

    fn add_host(&mut self, root: &Path, folder: &Path) -> Result<(), FinishError> {
        let failed = |source| FinishError::ReadHost {
            path: folder.to_owned(),
            source,
        };
        let mut found: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            found.push(entry.map_err(failed)?.path());
        }
        found.sort();
        for path in found {
            let entry = host_entry(&path)?;
            let inner = host_name(path.strip_prefix(root).unwrap_or(&path))?;
            let is_directory = entry.is_directory();
            self.entries.push((inner, entry));
            if is_directory {
                self.add_host(root, &path)?;
            }
        }
        Ok(())
    }

    /// The layer of the recipe's `[[files]]`.
    ///
    /// # Errors
    /// When a source file can't be read.
    pub fn from_files(files: &[FileSpec]) -> Result<Self, FinishError> {
        let entries = files.iter().map(file_entry).collect::<Result<_, _>>()?;
        Ok(Self {
            origin: "[[files]]".to_owned(),
            entries,
        })
    }
}

fn host_entry(path: &Path) -> Result<Entry, FinishError> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |source| FinishError::ReadHost {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        Ok(Entry::directory(0o755))
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(failed)?;
        let target = target
            .to_str()
            .ok_or_else(|| FinishError::HostName(path.to_owned()))?;
        Ok(Entry::symlink(target))
    } else if kind.is_file() {
        let mode = if metadata.permissions().mode() & 0o100 == 0 {
            0o644
        } else {
            0o755
        };
        Ok(Entry::file(mode, fs::read(path).map_err(failed)?))
    } else {
        Err(FinishError::SpecialFile(path.to_owned()))
    }
}

fn host_name(path: &Path) -> Result<TreePath, FinishError> {
    path.to_str()
        .ok_or_else(|| FinishError::HostName(path.to_owned()))?
        .parse()
        .map_err(FinishError::Path)
}

fn file_entry(file: &FileSpec) -> Result<(TreePath, Entry), FinishError> {
    let bytes = match &file.content {
        FileContent::Inline(text) => text.clone().into_bytes(),
        FileContent::Source(path) => fs::read(path).map_err(|source| FinishError::ReadHost {
            path: path.clone(),
            source,
        })?,
    };
    Ok((file.path.clone(), Entry::file(file.mode, bytes)))
}

/// The recipe's layers in order: its overlays, then its files.
///
/// # Errors
/// As [`Layer::from_host`] and [`Layer::from_files`].
pub fn of_recipe(recipe: &Recipe) -> Result<Vec<Layer>, FinishError> {
    let mut layers = Vec::new();
    for folder in &recipe.overlays {
        layers.push(Layer::from_host(folder)?);
    }
    layers.push(Layer::from_files(&recipe.files)?);
    Ok(layers)
}

/// Lays `layers` over `tree`. A folder that exists keeps its owner and permissions; a file or link replaces a file or
/// link.
///
/// # Errors
/// When a layer has a file where the tree has a folder, or the reverse.
pub fn apply(tree: &mut Tree, layers: &[Layer]) -> Result<(), FinishError> {
    for layer in layers {
        for (path, entry) in &layer.entries {
            lay(tree, edit::canonical(path.clone()), entry).map_err(|source| FinishError::Layer {
                origin: layer.origin.clone(),
                source,
            })?;
        }
    }
    Ok(())
}

fn lay(tree: &mut Tree, path: TreePath, entry: &Entry) -> Result<(), crate::tree::TreeError> {
    let merged = edit::USR_MERGED.contains(&path.as_str());
    let path = edit::through_links(tree, path);
    let existing = tree.get(path.as_str());
    if entry.is_directory() && (merged || existing.is_some_and(Entry::is_directory)) {
        return Ok(());
    }
    let mut entry = entry.clone();
    if let Node::File(_, group) = &mut entry.node {
        *group = None;
    }
    tree.insert_all(path, entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_host_folder_becomes_roots_files_whatever_the_umask_was() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        for (name, mode) in [("plain", 0o600), ("program", 0o700)] {
            let path = folder.path().join("etc").join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut tree = Tree::new();
        tree.insert_all("etc".parse().unwrap(), Entry::directory(0o711))
            .unwrap();
        apply(&mut tree, &[Layer::from_host(folder.path()).unwrap()]).unwrap();
        let mode = |path: &str| tree.get(path).unwrap().metadata.mode;
        assert_eq!(
            (mode("etc/plain"), mode("etc/program"), mode("etc")),
            (0o644, 0o755, 0o711)
        );
    }

    #[test]
    fn a_layer_that_says_lib_is_led_into_usr_and_never_replaces_the_link() {
        let mut tree = Tree::new();
        edit::ensure_directory(&mut tree, "usr/lib", 0o755).unwrap();
        edit::link(&mut tree, "lib", "usr/lib").unwrap();
        let layer = Layer {
            origin: "test".to_owned(),
            entries: vec![
                ("lib".parse().unwrap(), Entry::directory(0o755)),
                ("lib/x".parse().unwrap(), Entry::file(0o644, "x")),
            ],
        };
        apply(&mut tree, &[layer]).unwrap();
        assert!(tree.contains("usr/lib/x") && !tree.get("lib").unwrap().is_directory());
    }

    #[test]
    fn a_file_behind_a_link_of_the_image_lands_where_the_link_leads() {
        let mut tree = Tree::new();
        edit::ensure_directory(&mut tree, "var/roothome", 0o700).unwrap();
        edit::link(&mut tree, "root", "var/roothome").unwrap();
        let layer = Layer {
            origin: "test".to_owned(),
            entries: vec![
                ("root/.config".parse().unwrap(), Entry::directory(0o755)),
                ("root/.config/x".parse().unwrap(), Entry::file(0o644, "x")),
            ],
        };
        apply(&mut tree, &[layer]).unwrap();
        assert!(tree.contains("var/roothome/.config/x"));
    }

    #[test]
    fn a_file_over_a_folder_is_refused_and_names_the_layer() {
        let mut tree = Tree::new();
        edit::ensure_directory(&mut tree, "etc/ssh", 0o755).unwrap();
        let file = FileSpec {
            path: "etc/ssh".parse().unwrap(),
            content: FileContent::Inline("x".to_owned()),
            mode: 0o644,
        };
        let error = apply(&mut tree, &[Layer::from_files(&[file]).unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), "lay [[files]] over the image");
    }
}
