//! What a [`DeviceConfig`] becomes in `/etc`: pure, from the configuration and a few facts about the release.

mod network;
mod wifi;

use std::collections::BTreeMap;

use super::DeviceConfig;

/// Where time zones are.
pub const ZONES: &str = "/usr/share/zoneinfo";

/// What rendering needs to know of the release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseFacts {
    /// Its accounts, each with its own SSH keys: the file's text, empty when it has none.
    pub accounts: BTreeMap<String, String>,
    /// Whether it runs systemd-networkd.
    pub networkd: bool,
    /// Whether it has the unit that joins a Wi-Fi.
    pub wifi: bool,
    /// Whether it runs systemd-timesyncd.
    pub timesyncd: bool,
    /// Whether it has an SSH server.
    pub ssh: bool,
    /// Whether it has the time zone that the configuration names.
    pub time_zone: bool,
}

/// What goes into `/etc`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    /// Files and links, by their path below `/etc`.
    pub entries: BTreeMap<String, Entry>,
    /// What the release can't do, for people.
    pub complaints: Vec<String>,
}

/// A file or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file that everybody may read.
    Public(String),
    /// A file that root alone may read.
    Private(String),
    /// A symbolic link to this path.
    Link(String),
}

/// Renders.
#[must_use]
pub fn render(config: &DeviceConfig, release: &ReleaseFacts) -> Rendered {
    let mut rendered = Rendered::default();
    if let Some(name) = &config.hostname {
        rendered.public("hostname", format!("{name}\n"));
    }
    if !config.time_servers.is_empty() {
        if !release.timesyncd {
            rendered.complain("time-servers", "doesn't run systemd-timesyncd");
        }
        let servers = config.time_servers.join(" ");
        rendered.public(
            "systemd/timesyncd.conf.d/50-device.conf",
            format!("[Time]\nNTP={servers}\n"),
        );
    }
    time_zone(&mut rendered, config, release);
    network::proxy(&mut rendered, &config.network);
    network::interfaces(&mut rendered, &config.network.interfaces, release);
    ssh_keys(&mut rendered, config, release);
    rendered
}

fn time_zone(rendered: &mut Rendered, config: &DeviceConfig, release: &ReleaseFacts) {
    let Some(zone) = &config.time_zone else { return };
    if release.time_zone {
        rendered.link("localtime", &format!("{ZONES}/{zone}"));
    } else {
        rendered.complain(
            "time-zone",
            "has no such time zone: its recipe needs the package tzdata, which has most",
        );
    }
}

fn ssh_keys(rendered: &mut Rendered, config: &DeviceConfig, release: &ReleaseFacts) {
    for (name, keys) in &config.ssh_keys {
        let Some(own) = release.accounts.get(name) else {
            rendered.complain(&format!("users.{name}"), "has no such account");
            continue;
        };
        let mut text = own.clone();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += &keys.join("\n");
        text.push('\n');
        rendered.public(&format!("ssh/authorized_keys.d/{name}"), text);
        if name == "root" {
            // sshd takes the first value that it reads, and the release says no.
            let text = "PermitRootLogin prohibit-password\n".to_owned();
            rendered.public("ssh/sshd_config.d/05-device-root.conf", text);
        }
    }
    if !config.ssh_keys.is_empty() && !release.ssh {
        rendered.complain("users", "starts no SSH server");
    }
}

impl Rendered {
    fn public(&mut self, path: &str, text: String) {
        self.entries.insert(path.to_owned(), Entry::Public(text));
    }

    fn private(&mut self, path: &str, text: String) {
        self.entries.insert(path.to_owned(), Entry::Private(text));
    }

    fn link(&mut self, path: &str, target: &str) {
        self.entries
            .insert(path.to_owned(), Entry::Link(target.to_owned()));
    }

    /// Says that `key` asks for what the release can't do.
    fn complain(&mut self, key: &str, what: &str) {
        self.complaints.push(format!("{key}: this release {what}"));
    }
}
