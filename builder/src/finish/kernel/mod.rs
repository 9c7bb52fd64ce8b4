//! The kernel step: its image leaves the tree for the boot payload, its modules are selected, unpacked and indexed.

mod index;
mod initramfs;
mod module;
mod select;
mod tables;
mod unpack;

use std::collections::{BTreeMap, BTreeSet};

use outcrop_release::digest::FileDigest;

pub use initramfs::{initramfs_modules, names_in_list};
use unpack::Shipped;
pub(super) use unpack::plain_path;

use super::{
    edit,
    error::{FinishError, KernelError},
    inputs::Inputs,
};
use crate::sha256::Sha256;
use crate::{
    progress::Unit,
    tree::{Content, Entry, Node, Tree, TreePath},
};

/// Where modules live, by kernel version.
const MODULES: &str = "usr/lib/modules";
/// Raised whenever this step would make something else of the same input.
const STEP_VERSION: &str = "outcrop kernel modules 1";

/// The kernel of an image, for the boot payload.
#[derive(Debug, Clone)]
pub struct KernelFiles {
    /// Its release, as `uname -r` says it.
    pub version: String,
    /// The kernel image, as Debian ships it.
    pub image: Content,
    /// The device trees that belong to it, by their paths (`broadcom/bcm2711-rpi-4-b.dtb`).
    pub device_trees: BTreeMap<String, Content>,
}

/// Carries out the step.
///
/// # Errors
/// When there isn't exactly one kernel, a module is broken, or a glob of the recipe isn't one.
pub(super) fn run(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<KernelFiles, FinishError> {
    let version = version(tree)?;
    let device_trees = device_trees(tree, &version)?;
    let image = take_image(tree, &version)?;
    let folder = module_folder(&version)?;
    let shipped = shipped_modules(tree, &folder);
    let key = memory_key(tree, inputs, &folder, &shipped);
    let remembered = match &key {
        Some(key) => inputs.contents.recall(key).map_err(KernelError::Store)?,
        None => None,
    };
    let done = match remembered {
        Some(done) => done,
        None => {
            let done = modules_and_tables(tree, inputs, &folder, &shipped)?;
            if let Some(key) = &key {
                inputs.contents.remember(key, &done).map_err(KernelError::Store)?;
            }
            done
        }
    };
    tree.remove(&folder);
    for (path, entry) in done.iter().filter(|(path, _)| path.starts_with(&folder)) {
        tree.insert_all(path.clone(), entry.clone())
            .map_err(FinishError::Tree)?;
    }
    Ok(KernelFiles {
        version,
        image,
        device_trees,
    })
}

/// The folder of a version's modules.
pub(super) fn module_folder(version: &str) -> Result<TreePath, FinishError> {
    format!("{MODULES}/{version}").parse().map_err(FinishError::Path)
}

fn version(tree: &Tree) -> Result<String, KernelError> {
    let modules: Option<TreePath> = MODULES.parse().ok();
    let mut versions: Vec<String> = modules
        .iter()
        .flat_map(|modules| tree.children(modules))
        .filter(|(_, entry)| entry.is_directory())
        .filter_map(|(path, _)| path.file_name().map(str::to_owned))
        .collect();
    match (versions.pop(), versions.is_empty()) {
        (None, _) => Err(KernelError::None),
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            versions.push(last);
            Err(KernelError::Several(versions))
        }
    }
}

/// Where a version's device trees lie.
fn device_tree_folder(version: &str) -> String {
    format!("usr/lib/linux-image-{version}")
}

fn device_trees(tree: &Tree, version: &str) -> Result<BTreeMap<String, Content>, FinishError> {
    let folder: TreePath = device_tree_folder(version).parse().map_err(FinishError::Path)?;
    let files = tree.below(&folder).filter_map(|(path, entry)| {
        let name = path.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?;
        match &entry.node {
            Node::File(content, _) => Some((name.to_owned(), content.clone())),
            _ => None,
        }
    });
    Ok(files.collect())
}

/// Takes the image out of the tree, with everything else that is only for boot loaders: /boot is empty on the device.
fn take_image(tree: &mut Tree, version: &str) -> Result<Content, FinishError> {
    let path: TreePath = format!("boot/vmlinuz-{version}")
        .parse()
        .map_err(FinishError::Path)?;
    let image = match tree.get(path.as_str()).map(|entry| &entry.node) {
        Some(Node::File(content, _)) => content.clone(),
        _ => {
            return Err(KernelError::NoImage {
                version: version.to_owned(),
                path,
            }
            .into());
        }
    };
    edit::remove(tree, "boot")?;
    edit::ensure_directory(tree, "boot", 0o755)?;
    // Device trees: a boot loader reads them, or the firmware has its own.
    edit::remove(tree, &device_tree_folder(version))?;
    for link in ["vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old"] {
        edit::remove(tree, link)?;
    }
    Ok(image)
}

fn shipped_modules(tree: &Tree, folder: &TreePath) -> Vec<Shipped> {
    let is_module = |name: &str| {
        [".ko", ".ko.xz", ".ko.zst", ".ko.gz"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
    };
    tree.below(folder)
        .filter(|(path, _)| path.file_name().is_some_and(is_module))
        .filter_map(|(path, entry)| match &entry.node {
            Node::File(content, _) => Some(Shipped {
                path: path.clone(),
                content: content.clone(),
            }),
            _ => None,
        })
        .collect()
}

/// The digest of everything that the result depends on; none when some content isn't in the store.
fn memory_key(
    tree: &Tree,
    inputs: &Inputs<'_>,
    folder: &TreePath,
    shipped: &[Shipped],
) -> Option<FileDigest> {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(STEP_VERSION);
    for list in [
        &inputs.recipe.kernel.exclude_modules,
        &inputs.recipe.kernel.keep_modules,
        &inputs.recipe.kernel.initramfs_modules,
    ] {
        part(&list.len().to_string());
        list.iter().for_each(|item| part(item));
    }
    inputs.initramfs_modules.iter().for_each(|name| part(name));
    let tables = tree
        .children(folder)
        .filter_map(|(path, entry)| match &entry.node {
            Node::File(content, _) => Some((path, content)),
            _ => None,
        });
    for (path, content) in tables.chain(shipped.iter().map(|module| (&module.path, &module.content))) {
        let Content::Stored(object) = content else {
            return None;
        };
        part(path.as_str());
        part(&object.checksum);
    }
    Some(FileDigest::from_bytes(hash.finish()))
}

/// A tree with nothing but the folder of the version: its modules, unpacked, and their tables.
fn modules_and_tables(
    tree: &Tree,
    inputs: &Inputs<'_>,
    folder: &TreePath,
    shipped: &[Shipped],
) -> Result<Tree, FinishError> {
    let kernel = &inputs.recipe.kernel;
    let excluded = select::Choice {
        excluded: select::globs(&kernel.exclude_modules)?,
        kept: select::globs(&kernel.keep_modules)?,
    };
    let named = inputs.initramfs_modules.iter().chain(&kernel.initramfs_modules);
    let needed: BTreeSet<String> = named.map(|name| module::name_of(name)).collect();
    let phase = inputs.progress.phase("unpack kernel modules", None, Unit::Items);
    let below_kernel = format!("{}/kernel/", folder.as_str());
    let unpacked = select::select(
        shipped,
        &below_kernel,
        &excluded,
        &needed,
        inputs.contents,
        phase.as_ref(),
    )?;
    let mut done = Tree::new();
    let inner = format!("{}/", folder.as_str());
    let listed: Vec<tables::Listed<'_>> = unpacked
        .iter()
        .filter_map(|module| {
            Some(tables::Listed {
                path: module.path.as_str().strip_prefix(&inner)?,
                info: &module.info,
            })
        })
        .collect();
    let shipped_tables = shipped_tables(tree, folder)?;
    for (name, bytes) in tables::tables(&listed, &shipped_tables)? {
        let content = inputs.contents.keep(&bytes).map_err(KernelError::Store)?;
        edit::put(&mut done, &format!("{inner}{name}"), Entry::file(0o644, content))?;
    }
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        if let Some(entry) = tree.get(&format!("{inner}{name}")) {
            edit::put(&mut done, &format!("{inner}{name}"), entry.clone())?;
        }
    }
    for module in unpacked {
        done.insert_all(module.path, Entry::file(0o644, module.content))
            .map_err(FinishError::Tree)?;
    }
    Ok(done)
}

fn shipped_tables(tree: &Tree, folder: &TreePath) -> Result<tables::Shipped, FinishError> {
    let text = |name: &str| -> Result<String, FinishError> {
        let path = folder.join(name).map_err(FinishError::Path)?;
        Ok(edit::read_text(tree, &path)?.unwrap_or_default())
    };
    let info = folder
        .join("modules.builtin.modinfo")
        .map_err(FinishError::Path)?;
    let builtin_info = match tree.get(info.as_str()).map(|entry| &entry.node) {
        Some(Node::File(content, _)) => content
            .read()
            .map_err(|source| FinishError::Read { path: info, source })?,
        _ => Vec::new(),
    };
    Ok(tables::Shipped {
        order: text("modules.order")?,
        builtin: text("modules.builtin")?,
        builtin_info,
    })
}

#[cfg(test)]
mod tests;
