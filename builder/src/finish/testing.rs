//! What tests of the steps share: a recipe, inputs, trees.

use std::collections::BTreeMap;

use outcrop_release::{arch::Architecture, board::Board, device_config::DeviceDefinition};

use super::inputs::{InMemory, Inputs, InstalledPackage};
use crate::{
    action::Action,
    progress::Silent,
    recipe::schema::{
        Access, Base, Boot, Disk, Distribution, Health, Image, Kernel, Packages, Recipe, Services, Update,
    },
    tree::Tree,
};

/// A recipe with nothing in it.
pub(super) fn recipe() -> Recipe {
    Recipe {
        image: Image {
            name: "edge".parse().unwrap(),
            version: "0.1.0".parse().unwrap(),
            architectures: vec![Architecture::X86_64],
            board: Board::Efi,
        },
        base: Base {
            distribution: Distribution::Debian,
            suite: "trixie".to_owned(),
            components: vec!["main".to_owned()],
        },
        packages: Packages::default(),
        kernel: Kernel {
            package: BTreeMap::new(),
            exclude_modules: Vec::new(),
            keep_modules: Vec::new(),
            initramfs_modules: Vec::new(),
            command_line: Vec::new(),
        },
        files: Vec::new(),
        overlays: Vec::new(),
        users: BTreeMap::new(),
        services: Services::default(),
        kubernetes: None,
        state: None,
        boot: Boot::default(),
        secure_boot: None,
        disk: Disk {
            root_slot: 1 << 30,
            boot_slot: 64 << 20,
            data: 1 << 30,
        },
        health: Health::default(),
        update: Update::default(),
        device: DeviceDefinition::default(),
        access: Access::default(),
    }
}

/// Inputs without packages and layers.
pub(super) fn inputs(recipe: &Recipe) -> Inputs<'_> {
    Inputs {
        recipe,
        architecture: Architecture::X86_64,
        packages: &[],
        layers: &[],
        initramfs_modules: &[],
        contents: &InMemory,
        progress: &Silent,
    }
}

/// A package that only has actions.
pub(super) fn package(name: &str, actions: Vec<Action>) -> InstalledPackage {
    InstalledPackage {
        name: name.to_owned(),
        actions,
        ..InstalledPackage::default()
    }
}

/// A tree with these text files.
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (path, text) in files {
        super::edit::write_text(&mut tree, path, text).unwrap();
    }
    tree
}

/// The text at `path`.
pub(super) fn text(tree: &Tree, path: &str) -> String {
    super::edit::read_text(tree, &path.parse().unwrap())
        .unwrap()
        .unwrap_or_else(|| panic!("no {path}"))
}
