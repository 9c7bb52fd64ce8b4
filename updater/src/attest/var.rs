//! `/var`: programs, units, timetables and lists of keys that no release brought.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use outcrop_release::digest::FileDigest;

use super::{AttestError, Difference, What, read_error};
use crate::{device::Device, state};

/// What containers and Kubernetes fill: their images are full of programs, and their own registry decides over those.
const STORES: [&str; 9] = [
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/etcd",
    "/var/lib/k0s",
    "/var/lib/kubelet",
    "/var/lib/outcrop",
    "/var/lib/rancher",
];
/// Endings of units that systemd would start something for.
const UNITS: [&str; 5] = ["service", "socket", "timer", "path", "mount"];
/// Longest file whose digest is told.
const MOST_BYTES: u64 = 64 << 20;
/// Most paths that are listed.
const MOST_PATHS: usize = 10_000;

/// The folders that aren't looked into, on this device.
pub(super) fn stores(device: &Device) -> Vec<String> {
    let bound = state::definition(&device.path("/")).ok().flatten();
    let bound = bound.iter().flat_map(|definition| &definition.paths);
    let mut stores: Vec<String> = STORES.iter().map(|&store| store.to_owned()).collect();
    stores.extend(bound.map(ToString::to_string));
    stores.retain(|store| device.path(store).symlink_metadata().is_ok());
    stores.sort();
    stores.dedup();
    stores
}

/// Looks through `var`, which is the device's `/var`, without leaving its file system.
pub(super) fn differences(var: &Path, stores: &[String]) -> Result<Vec<Difference>, AttestError> {
    let device = var.symlink_metadata().map_err(read_error(var))?.dev();
    let mut found = Vec::new();
    walk(var, "/var", device, stores, &mut found)?;
    Ok(found)
}

fn walk(
    folder: &Path,
    shown: &str,
    device: u64,
    stores: &[String],
    found: &mut Vec<Difference>,
) -> Result<(), AttestError> {
    let entries = match fs::read_dir(folder) {
        // It went away meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(read_error(folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(read_error(folder))?;
        let path = entry.path();
        let shown = format!("{shown}/{}", entry.file_name().to_string_lossy());
        let Ok(facts) = path.symlink_metadata() else {
            continue;
        };
        if found.len() >= MOST_PATHS || facts.dev() != device || stores.contains(&shown) {
            continue;
        }
        if facts.is_dir() {
            walk(&path, &shown, device, stores, found)?;
        } else if let Some(what) = kind_of(&shown, &facts) {
            let bytes = (facts.is_file() && facts.len() <= MOST_BYTES).then(|| fs::read(&path).ok());
            found.push(Difference {
                path: shown,
                what,
                sha256: bytes.flatten().map(|bytes| FileDigest::of(&bytes).to_string()),
            });
        }
    }
    Ok(())
}

/// What a file is that has no business here.
fn kind_of(path: &str, facts: &fs::Metadata) -> Option<What> {
    let name = path.rsplit('/').next().unwrap_or_default();
    // There systemd notes when its timers ran last, in empty files.
    let is_note = path.starts_with("/var/lib/systemd/timers/");
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let is_unit = !is_note && ending.is_some_and(|ending| UNITS.contains(&ending));
    let is_timetable = path.starts_with("/var/spool/cron/") || path.starts_with("/var/spool/at/");
    let is_keys = path.ends_with("/.ssh/authorized_keys");
    if is_unit || is_timetable || is_keys {
        Some(What::Unit)
    } else if facts.is_file() && facts.permissions().mode() & 0o111 != 0 {
        Some(What::Executable)
    } else {
        None
    }
}
