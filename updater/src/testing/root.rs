//! A device in a folder: what the release, `outcrop-init` and earlier installations left there.

use std::{fs, path::Path};

use outcrop_release::{
    arch::Architecture,
    board::Board,
    digest::RootHash,
    manifest::{RollbackIndex, RunningManifest},
    name::ReleaseName,
    slot::Slot,
};

use crate::{
    device::Device,
    facts::{self, BootFacts},
};

/// The device with the root `root`: it runs release 1.0.0 in slot a.
pub(crate) fn device(root: &Path) -> Device {
    let release = RunningManifest {
        release: ReleaseName {
            image: "unit".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            architecture: Architecture::X86_64,
            board: Board::Efi,
        },
        rollback_index: RollbackIndex(0),
        health_deadline: std::time::Duration::from_secs(60),
        kubernetes: None,
    };
    let path = root.join(RunningManifest::PATH);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, release.to_bytes()).unwrap();
    let run = root.join(facts::FOLDER.trim_start_matches('/'));
    fs::create_dir_all(run.join("etc/upper")).unwrap();
    let boot = BootFacts {
        slot: Slot::A,
        root_hash: RootHash::of(b"x"),
        disk: "/dev/vda".to_owned(),
        data: None,
        init_milliseconds: (1, 2),
    };
    fs::write(run.join(facts::BOOT_FILE), boot.to_env()).unwrap();
    Device::read(root).unwrap()
}
