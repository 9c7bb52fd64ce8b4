//! `/etc`, which lies in memory: what a configuration becomes there, and what the release has by itself.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
};

use outcrop_release::device_config::{
    DeviceConfig,
    render::{Entry, ReleaseFacts, Rendered, ZONES},
};

/// Where units are enabled.
const UNITS: &str = "etc/systemd/system";

/// A file of `/etc` can't be written.
#[derive(Debug, thiserror::Error)]
#[error("write {}", path.display())]
pub(super) struct EtcError {
    path: PathBuf,
    source: io::Error,
}

/// What the release in `root` has of what `config` asks for.
pub(super) fn release_facts(root: &Path, config: &DeviceConfig) -> ReleaseFacts {
    let has = |path: &str| root.join(path).symlink_metadata().is_ok();
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    let accounts = passwd.lines().filter_map(|line| line.split(':').next());
    let own_keys = |name: &str| {
        let path = root.join("etc/ssh/authorized_keys.d").join(name);
        fs::read_to_string(path).unwrap_or_default()
    };
    let asked: BTreeMap<String, String> = accounts
        .filter(|name| config.ssh_keys.contains_key(*name))
        .map(|name| (name.to_owned(), own_keys(name)))
        .collect();
    let wanted = |unit: &str| {
        [
            "multi-user.target",
            "sysinit.target",
            "network-online.target",
            "sockets.target",
        ]
        .iter()
        .any(|target| has(&format!("{UNITS}/{target}.wants/{unit}")))
    };
    ReleaseFacts {
        accounts: asked,
        networkd: wanted("systemd-networkd.service"),
        wifi: has("usr/lib/systemd/system/wpa_supplicant@.service"),
        timesyncd: wanted("systemd-timesyncd.service"),
        ssh: wanted("ssh.service") || wanted("ssh.socket"),
        time_zone: config.time_zone.as_ref().is_some_and(|zone| {
            let path = format!("{}/{zone}", ZONES.trim_start_matches('/'));
            root.join(path).is_file()
        }),
    }
}

/// Writes what was rendered; what can't be written is told, and the rest written.
pub(super) fn write(root: &Path, rendered: &Rendered) -> Vec<EtcError> {
    let mut errors = Vec::new();
    for (path, entry) in &rendered.entries {
        let path = root.join("etc").join(path);
        if let Err(source) = write_entry(&path, entry) {
            errors.push(EtcError { path, source });
        }
    }
    errors
}

fn write_entry(path: &Path, entry: &Entry) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // The release may have a link here, which nothing must be written through.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = |mode, text: &str| {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    match entry {
        Entry::Public(text) => file(0o644, text),
        Entry::Private(text) => file(0o600, text),
        Entry::Link(target) => symlink(target, path),
    }
}
