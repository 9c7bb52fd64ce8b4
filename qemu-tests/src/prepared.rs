//! Devices that several scenarios begin with: brought so far once, and kept switched off.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness for tests, which fail by panicking"
)]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use outcrop_release::{arch::Architecture, digest::FileDigest};
use rustix::fs::{FlockOperation, flock};

use crate::{
    guest::VARIABLES,
    scenario::shut_down,
    update::{Device, NEW, OLD, PRODUCT, releases},
};

/// Names of files of a prepared device.
pub(crate) const DISK: &str = "disk.img";
const STAMP: &str = "stamp";
pub(crate) const CLOCK: &str = "clock";

/// The folder with the disk and the firmware's variables of a device that has just installed the new release, and was switched
/// off.
pub(crate) fn armed(architecture: Architecture) -> PathBuf {
    prepared(&releases(), "armed", architecture, |folder| {
        let mut device = Device::start(architecture);
        // Nothing about an update may depend on the time. (The kernel takes none from before its own start.)
        device.shell().run("date --set @86400").unwrap();
        device.install(NEW);
        let clock = device.shell().run("date +%F").unwrap();
        fs::write(folder.join(CLOCK), clock).unwrap();
        device
    })
}

/// The same of a device that has committed the new release.
pub(crate) fn committed(architecture: Architecture) -> PathBuf {
    prepared(&releases(), "committed", architecture, |_| {
        let mut device = Device::on_trial(architecture, "none", &[]);
        device.expect(&format!("outcrop: committed: {PRODUCT} {NEW} "));
        device.expect_healthy(NEW, "b");
        device
    })
}

/// A folder with the disk and the firmware's variables of a device that `make` has brought so far with the releases of a folder, switched
/// off. Made by whichever scenario comes first, and kept beside the releases.
pub(crate) fn prepared(
    releases: &Path,
    name: &str,
    architecture: Architecture,
    make: impl FnOnce(&Path) -> Device,
) -> PathBuf {
    let folder = releases.join(format!("{name}-{architecture}"));
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    // Of which releases it was made.
    let file =
        |version, extension| releases.join(format!("{PRODUCT}-{version}-{architecture}-efi.{extension}"));
    let times =
        [file(OLD, "img"), file(NEW, "outcrop")].map(|path| fs::metadata(path).unwrap().modified().unwrap());
    // How it is prepared is part of what it is.
    let recipe = [
        &include_bytes!("update.rs")[..],
        include_bytes!("prepared.rs"),
        include_bytes!("secure_boot.rs"),
    ];
    let stamp = format!("{times:?} {}", FileDigest::of(&recipe.concat()));
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp) {
        return folder;
    }
    let Device { guest, disk, .. } = make(&folder);
    shut_down(guest).unwrap();
    copy(disk.raw().unwrap(), &folder.join(DISK));
    copy(&disk.folder().join(VARIABLES), &folder.join(VARIABLES));
    fs::write(folder.join(STAMP), stamp).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("--sparse=always")
        .args([from, to])
        .status()
        .unwrap();
    assert!(status.success(), "copy {}", from.display());
}
