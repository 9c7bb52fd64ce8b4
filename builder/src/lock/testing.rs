//! What the tests here share.

use std::collections::BTreeMap;

use outcrop_release::{arch::Architecture, board::Board, device_config::DeviceDefinition};

use crate::recipe::{Recipe, schema};

/// A recipe that installs `packages` on x86_64.
pub(crate) fn recipe(packages: &[&str]) -> Recipe {
    Recipe {
        image: schema::Image {
            name: "test".parse().unwrap(),
            version: "0.1.0".parse().unwrap(),
            architectures: vec![Architecture::X86_64],
            board: Board::Efi,
        },
        base: schema::Base {
            distribution: schema::Distribution::Debian,
            suite: "trixie".into(),
            components: vec!["main".into()],
        },
        packages: schema::Packages {
            install: packages.iter().map(|&name| name.to_owned()).collect(),
            accept_scripts: Vec::new(),
        },
        kernel: schema::Kernel {
            package: BTreeMap::from([(Architecture::X86_64, "linux-image-amd64".to_owned())]),
            exclude_modules: Vec::new(),
            keep_modules: Vec::new(),
            initramfs_modules: Vec::new(),
            command_line: Vec::new(),
        },
        files: Vec::new(),
        overlays: Vec::new(),
        users: BTreeMap::new(),
        services: schema::Services::default(),
        kubernetes: None,
        state: None,
        boot: schema::Boot::default(),
        secure_boot: None,
        disk: schema::Disk {
            root_slot: 1 << 30,
            boot_slot: 64 << 20,
            data: 64 << 20,
        },
        health: schema::Health::default(),
        update: schema::Update::default(),
        device: DeviceDefinition::default(),
        access: schema::Access::default(),
    }
}
